"""`wslpet setup`: install what `pip install wslpet[server]` cannot.

MONAI Label 0.8.5 declares packages that cannot be installed together with a CPU build of torch (sam2, torchvision) or
with each other (pydicom 3 and pydicom-seg), and that a PET server does not use. PyRadiomics 3.0.1 imports numpy in its
setup.py, so that it does not build in pip's isolated environment. Both are installed without what they declare; what
they need is declared by the extra `server`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

from wslpet.core.errors import InputError

MISSING = {"monailabel": "monailabel==0.8.5", "radiomics": "pyradiomics==3.0.1"}


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    setup = commands.add_parser("setup", help="complete an installation for the server: MONAI Label and PyRadiomics")
    setup.set_defaults(command=lambda args: complete())


def complete() -> int:
    """Install the missing packages.

    Raises
    ------
    InputError
        when pip fails, or the extra `server` is not installed.
    """
    if importlib.util.find_spec("fastapi") is None:
        raise InputError('the server\'s packages are not installed; run: pip install "wslpet[server]"')
    missing = [pin for module, pin in MISSING.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"Completing the installation, once: {', '.join(missing)}", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "--no-deps", "--no-build-isolation", *missing], check=False)
        if done.returncode:
            raise InputError(f"{', '.join(missing)} could not be installed; see what pip said above")
        importlib.invalidate_caches()
    return 0
