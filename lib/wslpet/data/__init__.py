"""Cohorts: tables, importers of published data sets, phantoms, and what ships that was learned from them."""
