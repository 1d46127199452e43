"""Training task: the task itself, its record, the publication of weights and the decision on them."""
