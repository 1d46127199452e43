"""The report: one page, its figures, LaTeX tables."""
