"""`wslpet setup`: names for PyRadiomics' build, the stand-in for pydicom-seg, compiled loops."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.helpers.app_server import ROOT
from wslpet.cli.serving import setup

FIRST_ANSWER = """
import numpy as np, wslpet
from wslpet.core.volume import Volume
square = sum((axis - place) ** 2 for axis, place in zip(np.indices((40, 36, 48)), (14.0, 20.0, 30.0)))
volume = Volume(np.asfortranarray(1 + 9 * np.exp(-square / 8), dtype=np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
wslpet.find_lesions(volume, wslpet.load_model())
assert wslpet.delineate(volume, wslpet.Seed("lung", position=(56.0, 80.0, 120.0))).lesions
"""


def python(code: str, on_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(on_path), str(ROOT / "lib"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_pyradiomics_builds_without_the_removed_standard_library_names(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(setup.BUILD_NAMES)
    code = """
import configparser, io
parser = configparser.SafeConfigParser()
parser.readfp(io.StringIO("[versioneer]\\nVCS = git\\n"))
print(parser.get("versioneer", "VCS"))
"""
    done = python(code, tmp_path)
    assert done.stdout == "git\n", done.stderr


def test_the_stand_in_is_imported_and_refuses_to_convert(tmp_path):
    (tmp_path / "pydicom_seg.py").write_text(setup.STAND_IN["pydicom_seg.py"])
    code = """
import monailabel.datastore.utils.convert, pydicom_seg
try:
    pydicom_seg.MultiClassReader()
except RuntimeError as error:
    print(error)
"""
    done = python(code, tmp_path)
    assert "pydicom-seg needs pydicom 2" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("declared", "pydicom", "pydicom_seg", "needed"),
    [
        (["pydicom-seg>=0.4.1", "torch"], "3.0.2", None, True),
        (["pydicom-seg>=0.4.1"], "3.0.2", "0.4.1", True),
        (["pydicom-seg>=0.4.1"], "3.0.2", setup.STAND_IN_VERSION, False),
        (["pydicom-seg>=0.4.1"], "2.4.5", "0.4.1", False),
        (["highdicom>=0.26.1"], "3.0.2", None, False),
        (None, "3.0.2", None, False),
    ],
)
def test_the_stand_in_is_for_a_monai_label_that_declares_pydicom_seg(
    monkeypatch, declared, pydicom, pydicom_seg, needed
):
    def version(name: str) -> str:
        installed = {"pydicom": pydicom, "pydicom-seg": pydicom_seg}[name]
        if installed is None:
            raise metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(metadata, "requires", lambda name: declared)
    monkeypatch.setattr(metadata, "version", version)
    assert setup.needs_stand_in() is needed


@pytest.mark.slow
def test_a_first_answer_compiles_nothing_more(tmp_path):
    def cached() -> set[str]:
        return {path.name for path in tmp_path.rglob("*.nbc")}

    compiling = "from wslpet.cli.serving.setup import compile_loops; raise SystemExit(compile_loops())"
    done = python(compiling, tmp_path, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    compiled = cached()
    assert compiled
    done = python(FIRST_ANSWER, tmp_path, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert cached() == compiled
