"""What was read or computed of a scan, kept: volumes in memory, anything else on disk, by one key of the scan."""
