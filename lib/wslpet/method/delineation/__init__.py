"""A point to a lesion: watershed basins, candidate contours, and the score that ranks them."""
