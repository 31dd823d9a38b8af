"""Exact passes over ONNX graphs: none of them changes what a model computes."""
