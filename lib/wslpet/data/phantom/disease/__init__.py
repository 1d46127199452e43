"""Tumours, what imitates them, and what becomes of the patient."""
