"""Quantize an fp32 ONNX file: schemes, and the step that measures and chooses candidates."""
