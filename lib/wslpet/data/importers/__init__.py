"""Importers: published data sets, and annotations collected by the server, as a cohort table."""

from collections.abc import Callable
from pathlib import Path

from wslpet.data.importers.autopet import import_autopet
from wslpet.data.importers.common import Imported, Options
from wslpet.data.importers.datastore import import_datastore
from wslpet.data.importers.dicom import import_dicom
from wslpet.data.importers.hecktor import import_hecktor

IMPORTERS: dict[str, Callable[[Path, Options], Imported]] = {
    "autopet": import_autopet,
    "hecktor": import_hecktor,
    "datastore": import_datastore,
    "dicom": import_dicom,
}

__all__ = ["IMPORTERS", "Imported", "Options"]
