"""Weakly supervised tumour detection in FDG PET: from one click and a cancer type to 3D lesions.

>>> import wslpet
>>> volume = wslpet.read_scan("scans/patient-0000.nii.gz")  # PET in SUV, or a folder with a DICOM series
>>> result = wslpet.find_lesions(volume, wslpet.load_model())         # the shipped weights
>>> seed = wslpet.Seed("lung", position=(-11.6, -61.3, 351.6))      # a click, mm RAS
>>> print(wslpet.delineate(volume, seed).lesions[0].volume_ml)
>>> node = wslpet.Seed("lung", (10.0, -4.0, 140.0))                # another lesion of the same patient
>>> print([lesion.volume_ml for lesion in wslpet.delineate(volume, [seed, node]).lesions])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "2.0.0.dev0"

if TYPE_CHECKING:
    from wslpet.core.seeds import Annotation, ContourChoice, Seed
    from wslpet.core.settings import Settings
    from wslpet.core.volume import Volume
    from wslpet.io.client import Client
    from wslpet.io.readers import read_volume as read_scan
    from wslpet.method.inference.pipeline import delineate, find_lesions
    from wslpet.method.network.checkpoint import load_model
    from wslpet.method.training.trainer import train

_PUBLIC = {
    "Annotation": ("wslpet.core.seeds", "Annotation"),
    "Client": ("wslpet.io.client", "Client"),
    "ContourChoice": ("wslpet.core.seeds", "ContourChoice"),
    "Seed": ("wslpet.core.seeds", "Seed"),
    "Settings": ("wslpet.core.settings", "Settings"),
    "Volume": ("wslpet.core.volume", "Volume"),
    "delineate": ("wslpet.method.inference.pipeline", "delineate"),
    "find_lesions": ("wslpet.method.inference.pipeline", "find_lesions"),
    "load_model": ("wslpet.method.network.checkpoint", "load_model"),
    "read_scan": ("wslpet.io.readers", "read_volume"),
    "train": ("wslpet.method.training.trainer", "train"),
}
__all__ = [
    "Annotation",
    "Client",
    "ContourChoice",
    "Seed",
    "Settings",
    "Volume",
    "__version__",
    "delineate",
    "find_lesions",
    "load_model",
    "read_scan",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import public names at first use: `import wslpet` and `wslpet --help` answer without loading torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)
