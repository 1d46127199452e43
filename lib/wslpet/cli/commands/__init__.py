"""The commands: each file has `add_to`, which declares its options, and `run`."""
