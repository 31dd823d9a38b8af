"""Backbones with adapters in torch: loading, freezing, inference, merging."""
