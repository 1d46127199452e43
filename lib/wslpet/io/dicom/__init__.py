"""DICOM: PET series in SUV, and objects derived from them (RTSTRUCT, SEG, SR)."""
