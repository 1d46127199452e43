"""What a lesion measures, how far two masks agree, and the statistics of both."""
