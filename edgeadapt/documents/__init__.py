"""Tables and pages for people and other programs, made from values."""
