"""Design of a study: training budget, patients, folds, and the figures of the paper."""
