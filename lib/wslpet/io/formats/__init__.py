"""Image file formats: NIfTI, and NRRD and MetaImage by SimpleITK."""
