"""Foundations of all other layers: errors, limits, volumes, seeds, settings, atomic writes, parallel work."""
