"""What a study compares: plan, patients, folds, and the figures of the paper."""
