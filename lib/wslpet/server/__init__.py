"""The MONAI Label server app: the only place that knows MONAI Label."""
