"""MONAI Label tasks: inference, training, strategies, scoring, and the model in use."""
