"""From a scan to its lesions."""
