"""Results of a study: metrics, statistical tests, outcome prediction, tables."""
