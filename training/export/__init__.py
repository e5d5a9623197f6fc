"""Export of networks to ONNX, and the cost of the result."""
