"""How the shipped weights and the contour score are made, from phantoms alone."""
