"""Sources of DICOM series: a folder, or a PACS over DICOMweb."""
