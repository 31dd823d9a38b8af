"""Compression steps on the merged torch model, before it is exported."""
