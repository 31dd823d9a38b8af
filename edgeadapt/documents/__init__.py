"""Render tables and pages from values."""
