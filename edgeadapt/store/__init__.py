"""What artefacts on disk say, as values that makers and readers share."""
