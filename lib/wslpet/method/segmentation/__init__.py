"""Segmentation of all lesions in MIPs, taught by clicks (ours)."""
