"""Errors with a message for the user. Each message names the thing, its value and the remedy."""


class InputError(ValueError):
    """Input that cannot be used; the message names the thing, its value and the remedy."""


class GeometryError(InputError):
    """An affine, a spacing or a shape that cannot be that of a scan."""


class SeedError(InputError):
    """A click or a cancer type that cannot be used as a seed."""


class TrainingError(InputError):
    """Annotations or settings that a training cannot use."""


class ModelError(InputError):
    """A weights file that cannot be loaded, or whose weights do not fit its settings."""


class DicomError(InputError):
    """A DICOM file or series that cannot be read, or whose SUV cannot be known; the message names file and tag."""


class BusyError(InputError):
    """A time limit was reached while waiting for a lock or for memory. Nothing was changed; a retry may succeed."""
