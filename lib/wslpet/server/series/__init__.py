"""DICOM series as images of the datastore, from folders or a PACS."""
