"""Files and DICOM series to volumes in SUV, and masks back to files."""
