"""Demonstration on phantom patients, and a local PACS."""
