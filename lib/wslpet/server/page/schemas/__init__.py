"""What the page's API takes and gives."""
