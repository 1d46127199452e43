"""Subcommands: each module has `add_to`, which adds its parser, and `run`."""
