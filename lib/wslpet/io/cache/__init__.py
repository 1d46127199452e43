"""Caches of what was read or computed from a scan: volumes in memory, other data on disk, with one key per scan."""
