"""Annotations: from a click of a viewer or of the page, or a submitted label, to seeds in the log."""
