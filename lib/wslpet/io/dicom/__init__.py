"""DICOM PET: headers, SUV, series, RTSTRUCT, SEG."""
