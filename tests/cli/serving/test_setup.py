"""`wslpet setup`: names for PyRadiomics' build, the stand-in for pydicom-seg, compiled loops."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.helpers.app_server import ROOT
from wslpet.cli.serving import setup
from wslpet.core.errors import InputError

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


@pytest.mark.slow
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


def test_an_environment_of_uv_which_has_no_pip_is_completed_by_uv(tmp_path):
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed (requirements-dev.txt)")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, tmp_path / "venv"], check=True)
    packages = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    ours = Path(importlib.util.find_spec("setuptools").origin).parents[1]
    for name in ("setuptools*", "_distutils_hack", "pkg_resources", "wheel*"):
        for folder in ours.glob(name):
            (packages / folder.name).symlink_to(folder)
    code = """
import importlib.util, pathlib, sys
from wslpet.cli.serving import setup
assert importlib.util.find_spec("pip") is None
stand_in = setup._written(pathlib.Path(sys.argv[1]), setup.STAND_IN)
names = setup._written(pathlib.Path(sys.argv[2]), {"sitecustomize.py": setup.BUILD_NAMES})
setup._install([str(stand_in)], names, named="a stand-in")
from importlib import metadata
print(metadata.version("pydicom-seg"), importlib.util.find_spec("pydicom_seg").origin)
"""
    command = [tmp_path / "venv/bin/python", "-c", code, tmp_path / "stand-in", tmp_path / "names"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib"), "PATH": f"{uv.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [setup.STAND_IN_VERSION, str(packages / "pydicom_seg.py")], done.stderr


def test_an_environment_with_neither_pip_nor_uv_is_refused_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(InputError, match=f"has no pip, and there is no uv on PATH; run: {sys.executable} -m ensurepip"):
        setup._install(["monailabel==0.8.5"])


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
