"""From examples and a classifier to trained weights."""
