"""Training of the shipped weights and the contour score, on phantoms alone."""
