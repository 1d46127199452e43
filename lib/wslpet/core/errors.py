"""Errors whose message is for the user: the thing, its value, the remedy."""


class InputError(ValueError):
    """Input that cannot be used; the message names the thing, its value and the remedy."""


class GeometryError(InputError):
    """An affine, a spacing or a shape that does not describe a scan."""


class SeedError(InputError):
    """A click or a cancer type that cannot be a seed."""


class TrainingError(InputError):
    """Annotations or settings from which nothing can be learned."""


class ModelError(InputError):
    """A weights file that cannot be loaded or does not fit its settings."""


class DicomError(InputError):
    """A DICOM file or series that cannot be read, or whose SUV cannot be known; the message names file and tag."""


class BusyError(InputError):
    """Something that others use for too long; nothing is lost, and asking again may work."""
