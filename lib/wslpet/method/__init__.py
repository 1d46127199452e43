"""The method of the paper (Amyar et al.), and what goes beyond it."""
