"""Patients on a PACS and a server on it: what the tests of both viewers share. Positions are mm in RAS."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from nibabel.affines import apply_affine

from tests.helpers.app_server import Server
from tests.helpers.dicom_patients import STORED, write_patient
from wslpet.cli.demo.orthanc import Orthanc
from wslpet.data.phantom.cohort import write_cohort
from wslpet.data.phantom.settings import PRESETS, Scanner
from wslpet.io.masks import read_mask

TYPES = ("lung", "oesophagus")
# As the demo's, with few voxels: the browser computes what it draws without a graphics card.
PHANTOMS = replace(PRESETS["plain"], scanners=((Scanner("5x5x6", (5.0, 5.0, 6.0)), 1.0),), fields=(("thorax", 1.0),))


@dataclass(frozen=True)
class Patient:
    """A PET series on the PACS and its tumour: the voxels' positions (n, 3), and one in the midst of them."""

    files: list[Path]
    cancer_type: str
    centre: np.ndarray
    tumour: np.ndarray

    @property
    def uid(self) -> str:
        return str(self._header.SeriesInstanceUID)

    @property
    def study(self) -> str:
        return str(self._header.StudyInstanceUID)

    @property
    def voxel_mm(self) -> float:
        """The longest edge of a voxel."""
        return max(*map(float, self._header.PixelSpacing), float(self._header.SliceThickness))

    @property
    def _header(self) -> pydicom.Dataset:
        return pydicom.dcmread(self.files[0], stop_before_pixels=True)


@dataclass(frozen=True)
class Ward:
    """`patients` by the way they are stored, and the `phantoms` that the shipped weights know, on one PACS."""

    pacs: Orthanc
    patients: dict[str, Patient]
    phantoms: list[Patient]
    folder: Path

    @contextmanager
    def serve(self, name: str) -> Iterator[Server]:
        """A server of its own on the PACS, with the shipped weights."""
        settings = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(self.folder / name / "cache")}
        conf = {"use_pretrained_model": "true"}
        server = Server(self.pacs.dicomweb, self.folder / name, conf, settings).start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def open_ward(folder: Path) -> Iterator[Ward]:
    """Write the patients in `folder`, and start a PACS with them."""
    patients = {
        stored: _synthetic(folder, stored, cancer_type)
        for stored, cancer_type in zip(STORED, itertools.cycle(TYPES), strict=False)
    }
    phantoms = _phantoms(folder / "phantoms")
    with Orthanc(folder / "orthanc") as orthanc:
        for patient in [*patients.values(), *phantoms]:
            orthanc.upload(patient.files)
        yield Ward(orthanc, patients, phantoms, folder)


def _synthetic(folder: Path, stored: str, cancer_type: str) -> Patient:
    written = write_patient(folder, stored, stored, cancer_type)
    tumour = apply_affine(written.scan.affine, np.argwhere(written.scan.truth()))
    return Patient(written.files, cancer_type, written.scan.centre, tumour)


def _phantoms(folder: Path) -> list[Patient]:
    write_cohort(folder, 2, 7, PHANTOMS, "LPS", dicom=True)
    truths = folder.with_name(f"{folder.name}-truth")
    patients = []
    with open(truths / "cohort.csv", newline="") as table:
        for row in csv.DictReader(table):
            mask = read_mask(truths / row["mask"])
            tumour = apply_affine(mask.affine, np.argwhere(mask.array))
            click = np.array([float(row[axis]) for axis in "xyz"])
            files = sorted((folder / row["name"]).iterdir())
            patients.append(Patient(files, row["cancer_type"], click, tumour))
    return patients


def overlap(found: np.ndarray, truth: np.ndarray, spacing_mm: float) -> float:
    """Dice of two sets of voxel positions (n, 3), (m, 3) on the same grid, in whatever order."""
    one, other = ({tuple(p) for p in np.rint(positions / spacing_mm * 4).astype(int)} for positions in (found, truth))
    return 2 * len(one & other) / max(len(one) + len(other), 1)
