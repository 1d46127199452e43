"""The runs of a study, each kept when it is done."""
