"""The cohort on the page: its rows, thumbnails, and the background scan of all images."""
