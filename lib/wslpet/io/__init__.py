"""Input and output: scans as volumes in SUV from files and DICOM series; masks to files; client of a server."""
