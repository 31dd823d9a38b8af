"""From an fp32 ONNX file to a quantized one: ways to do it, and the ladder that chooses."""
