"""MONAI Label's source after 0.8.5, where `MONAI_LABEL_SOURCE` names a checkout of it: the same masks.

All other tests run on it by `PYTHONPATH=$MONAI_LABEL_SOURCE make test`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.app_server import Server
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.phantom.cohort import save_scan
from wslpet.io.client import Client

SOURCE = os.environ.get("MONAI_LABEL_SOURCE", "")
PRESET_NAMES = ("plain", "hard")


def test_distutils_which_the_source_imports_is_there_on_each_python():
    """Python has none since 3.12; setuptools brings it, which is why the extra `server` declares it."""
    done = subprocess.run(
        [sys.executable, "-c", "from distutils.util import strtobool; print(int(strtobool('True')))"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1\n", done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not SOURCE, reason="MONAI_LABEL_SOURCE names no checkout of MONAI Label")
def test_masks_of_the_release_and_of_the_source_are_equal_in_every_voxel(tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    clicks = {}
    for number, preset in enumerate(PRESET_NAMES):
        patient = make_patient(7200 + number, PRESETS[preset], jitter_mm=4.0)
        save_scan(patient.volume, scans / f"{preset}.nii.gz")
        clicks[preset] = patient.seed.cancer_type, np.rint(patient.volume.to_index(patient.seed.position))
    release = masks(scans, clicks, tmp_path / "release", {})
    path = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
    source = masks(scans, clicks, tmp_path / "source", {"PYTHONPATH": path})
    assert Path(release.pop("monailabel")).parent != Path(source["monailabel"]).parent == Path(SOURCE) / "monailabel"
    assert all(release[name].any() for name in release)
    assert [name for name in release if not np.array_equal(release[name], source[name])] == []


def masks(scans, clicks, out, settings):
    """Masks as found and as clicked, by a server that imports MONAI Label from where `settings` say."""
    state = out / "state"
    out.mkdir()
    imported = "import monailabel.main; print(monailabel.main.__file__)"
    told = subprocess.run([sys.executable, "-c", imported], env={**os.environ, **settings}, stdout=subprocess.PIPE)
    arrays = {"monailabel": told.stdout.decode().strip()}
    server = Server(scans, out / "scratch", {"use_pretrained_model": "true", "state_dir": str(state)}, settings).start()
    try:
        client = Client(server.url)
        for name, (cancer_type, index) in clicks.items():
            arrays[f"{name} found"] = read(client.write_mask(name, out / "found.nii.gz"))
            client.click(name, cancer_type, index)
            arrays[f"{name} clicked"] = read(client.download(name, out / "clicked.nii.gz"))
    finally:
        server.stop()
    return arrays


def read(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)
