"""What is measured, in which order, and how the results compare."""
