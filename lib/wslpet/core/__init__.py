"""What everything else stands on: errors, limits, volumes, seeds, settings, safe writes, parallel work."""
