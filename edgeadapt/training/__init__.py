"""Train a classifier: data sets, objectives, the loop, checkpoints."""
