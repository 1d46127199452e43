"""The command `wslpet`."""
