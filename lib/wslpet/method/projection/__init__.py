"""Maximum intensity projections with depth maps."""
