"""Input and output: scans as volumes in SUV from files and DICOM series; masks, contours and reports to files."""
