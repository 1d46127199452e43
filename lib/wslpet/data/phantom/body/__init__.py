"""Anatomy: body outline, organs, and the voxel canvas."""
