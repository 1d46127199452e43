"""Images, labels and annotations on disk."""
