"""Tumour burden of a patient: measures of each lesion, of all together, and their tables."""
