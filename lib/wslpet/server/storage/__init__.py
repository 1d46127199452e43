"""Images, labels and seeds on disk."""
