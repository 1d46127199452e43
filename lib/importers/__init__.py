"""Data sets as they are published, and annotations as they were collected → a cohort's table."""

from collections.abc import Callable
from pathlib import Path

from lib.importers.autopet import import_autopet
from lib.importers.common import Imported, Options
from lib.importers.datastore import import_datastore
from lib.importers.dicom import import_dicom
from lib.importers.hecktor import import_hecktor

IMPORTERS: dict[str, Callable[[Path, Options], Imported]] = {
    "autopet": import_autopet,
    "hecktor": import_hecktor,
    "datastore": import_datastore,
    "dicom": import_dicom,
}

__all__ = ["IMPORTERS", "Imported", "Options"]
