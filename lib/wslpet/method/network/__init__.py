"""The CAM network, its inputs, its maps and its files."""
