"""Figures, tests and tables of the runs."""
