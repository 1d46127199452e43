"""The scan of a phantom: its plan, the point spread and the noise."""
