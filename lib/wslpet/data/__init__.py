"""Cohorts: tables, importers of published data sets, logs of servers, phantoms, training of the shipped weights."""
