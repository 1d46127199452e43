"""The segmenter of scans: its training on MIPs from all sides, on phantoms and on site."""
