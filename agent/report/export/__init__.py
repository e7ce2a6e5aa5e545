"""Archives for other programs: rows for scripts, TensorBoard, W&B."""
