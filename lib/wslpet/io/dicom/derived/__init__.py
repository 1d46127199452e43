"""DICOM objects derived from a PET series: segmentations (SEG), contours (RTSTRUCT), reports (SR)."""
