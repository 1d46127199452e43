"""Phantom patients stored in every way, and a server on them whose page a browser opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.helpers.app_server import Server
from tests.helpers.browser import chromium
from wslpet.core.volume import Volume
from wslpet.data.phantom import make_patient
from wslpet.data.phantom.cohort import oriented, save_scan

# How a scan is stored: voxel size along right, anterior, superior; axis code; where its origin is moved to.
STORED = {
    "ras": ((6, 6, 6), "RAS", (0, 0, 0)),
    "lps": ((6, 6, 6), "LPS", (0, 0, 0)),
    "permuted": ((6, 6, 6), "SRA", (0, 0, 0)),
    "anisotropic": ((4, 5, 9), "LAS", (0, 0, 0)),
    "off_origin": ((5, 6, 7), "PIR", (-410, 253, -1180)),
}


@dataclass(frozen=True, eq=False)
class Patient:
    """A stored phantom: its scan in RAS, its true mask there, its type, and the middle of its tumour in mm RAS."""

    name: str
    scan: Volume
    truth: np.ndarray
    cancer_type: str
    centre: np.ndarray

    def views_that_show_it(self) -> list[str]:
        """Views on which the pixel at the tumour's middle is the tumour, and not something hotter before or behind."""
        x, y, z = np.rint(self.scan.to_index(self.centre)).astype(int)
        column, row = self.scan.array[x, :, z], self.scan.array[:, y, z]
        seen = {"coronal": self.truth[x, column.argmax(), z], "sagittal": self.truth[row.argmax(), y, z]}
        return [view for view, shows in seen.items() if shows]


def write_patients(folder: Path, numbers: dict[str, int]) -> dict[str, Patient]:
    """One phantom for each name `<way of storing>_<…>`: its seed."""
    patients = {}
    for name, number in numbers.items():
        voxel_mm, code, shift = STORED[name.rpartition("_")[0]]
        drawn = make_patient(number, voxel_mm=voxel_mm, jitter_mm=0)
        affine = drawn.volume.affine.copy()
        affine[:3, 3] += shift
        scan = Volume(drawn.volume.array, affine, "SUV", name)
        save_scan(oriented(scan, code), folder / f"{name}.nii.gz")
        centre = np.array(drawn.lesions[0].centre) + shift
        patients[name] = Patient(name, scan, drawn.truth.array > 0, drawn.cancer_type, centre)
    return patients


@dataclass(frozen=True, eq=False)
class Ward:
    server: Server
    patients: dict[str, Patient]

    @property
    def page(self) -> str:
        return f"{self.server.url}/wslpet/"


@contextmanager
def opened_ward(studies: Path, scratch: Path, numbers: dict[str, int]) -> Iterator[Ward]:
    """Phantoms as of `write_patients`, and a server on them with the shipped weights."""
    patients = write_patients(studies, numbers)
    server = Server(studies, scratch, {"use_pretrained_model": "true"}).start()
    try:
        yield Ward(server, patients)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Ten phantoms, two for each way of storing, one of each type; a server on them with the shipped weights."""
    studies = tmp_path_factory.mktemp("studies")
    # Types alternate within pairs of seeds.
    numbers = {f"{way}_{n}": 7_300_000 + 2 * i + n for i, way in enumerate(STORED) for n in (0, 1)}
    with opened_ward(studies, tmp_path_factory.mktemp("scratch"), numbers) as ward:
        yield ward


# Not for the session: see `tests.conftest.no_loop_is_left`.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched
