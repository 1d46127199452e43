"""A demonstration on phantom patients: what to open and what to do; a PACS on this computer."""
