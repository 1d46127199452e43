"""`wslpet setup`: install what `pip install wslpet[server]` or `wslpet[study]` cannot, and compile the loops.

MONAI Label 0.8.5 declares packages that cannot be installed together with a CPU build of torch (sam2, torchvision) or
with each other (pydicom 3 and pydicom-seg), and that a PET server does not use. PyRadiomics 3.0.1 imports numpy in its
setup.py, so that it does not build in pip's isolated environment, and names of Python's standard library that are gone
since 3.12. Both are installed without what they declare; what they need is declared by the extra `server`, and what
PyRadiomics alone needs by `study`.

MONAI Label 0.8.5 imports pydicom-seg, which does not work with pydicom 3, in every process, for a conversion that this
server makes with highdicom. A package of that name that refuses the conversion is installed instead. MONAI Label's
later versions do not declare it, and get none.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from wslpet.core.errors import InputError

MISSING = {"monailabel": "monailabel==0.8.5", "radiomics": "pyradiomics==3.0.1"}
# Python reads sitecustomize.py at its start. PyRadiomics' setup.py was written for these two names.
BUILD_NAMES = """import configparser
if not hasattr(configparser, "SafeConfigParser"):
    configparser.SafeConfigParser = configparser.ConfigParser
    configparser.RawConfigParser.readfp = configparser.RawConfigParser.read_file
"""
STAND_IN_VERSION = "0.4.1+standin"
STAND_IN = {
    "setup.py": f"""from setuptools import setup
setup(name="pydicom-seg", version="{STAND_IN_VERSION}", py_modules=["pydicom_seg"],
      description="Stand-in by wslpet: importable with pydicom 3, converts nothing")
""",
    "pydicom_seg.py": '''"""Stand-in for pydicom-seg, which needs pydicom 2."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise RuntimeError("pydicom-seg needs pydicom 2; wslpet reads and writes DICOM SEG itself (output=dicom_seg)")
''',
}


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    setup = commands.add_parser("setup", help="complete an installation: MONAI Label, PyRadiomics, compiled loops")
    setup.set_defaults(command=lambda args: complete(server=not _has_only_the_study()) or compile_loops())


def _has_only_the_study() -> bool:
    return importlib.util.find_spec("fastapi") is None and importlib.util.find_spec("pykwalify") is not None


def complete(server: bool = True) -> int:
    """Install the missing packages: MONAI Label and PyRadiomics, or PyRadiomics alone.

    Raises
    ------
    InputError
        when the installation fails, there is neither pip nor uv, or the extra `server` is not installed.
    """
    if server and importlib.util.find_spec("fastapi") is None:
        raise InputError('the server\'s packages are not installed; run: pip install "wslpet[server]"')
    wanted = MISSING if server else {"radiomics": MISSING["radiomics"]}
    missing = [pin for module, pin in wanted.items() if importlib.util.find_spec(module) is None]
    with tempfile.TemporaryDirectory() as folder:
        if missing:
            _install(missing, _written(Path(folder) / "names", {"sitecustomize.py": BUILD_NAMES}))
        if server and needs_stand_in():
            _install([str(_written(Path(folder) / "pydicom-seg", STAND_IN))], named="a stand-in for pydicom-seg")
    return 0


def needs_stand_in() -> bool:
    """Whether MONAI Label declares pydicom-seg, and none is installed that works with the installed pydicom."""
    declared = metadata.requires("monailabel") or []
    if not any(one.startswith("pydicom-seg") for one in declared):
        return False
    try:
        installed = metadata.version("pydicom-seg")
    except metadata.PackageNotFoundError:
        return True
    return installed != STAND_IN_VERSION and not metadata.version("pydicom").startswith("2.")


def compile_loops() -> int:
    """Compile the loops into numba's cache on disk, in a process that sees what was just installed.

    Raises
    ------
    InputError
        when that process fails.
    """
    code = "from wslpet.method.inference.pipeline import warm_up; warm_up()"
    if subprocess.run([sys.executable, "-c", code], check=False).returncode:
        raise InputError("the loops could not be compiled; see the error above")
    return 0


def _written(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _installer() -> list[str]:
    """Return the command that installs into this environment: its own pip, or uv, whose environments have no pip."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-cache-dir"]
    if uv := os.environ.get("UV") or shutil.which("uv"):  # `uv run` sets the variable
        return [uv, "pip", "install", "-q", "--python", sys.executable, "--no-cache"]
    raise InputError(f"{sys.prefix} has no pip, and there is no uv on PATH; run: {sys.executable} -m ensurepip")


def _install(packages: Sequence[str], on_path: Path | None = None, named: str = "") -> None:
    named = named or ", ".join(packages)
    installer = _installer()
    print(f"Completing the installation, once: {named}", file=sys.stderr, flush=True)
    environment = dict(os.environ)
    if on_path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(on_path), os.environ.get("PYTHONPATH", "")]))
    # Without the cache: a wheel in it may have been compiled with another major version of numpy.
    done = subprocess.run([*installer, "--no-deps", "--no-build-isolation", *packages], check=False, env=environment)
    if done.returncode:
        raise InputError(f"{named} could not be installed; see the error above")
    importlib.invalidate_caches()
