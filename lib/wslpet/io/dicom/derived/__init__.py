"""DICOM objects that are derived from a PET series: masks, contours, reports."""
