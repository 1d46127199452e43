"""Import MONAI Label without the optional packages of those parts of MONAI that the server does not use.

MONAI Label takes a few functions of MONAI, whose import loads all of its modules and each optional package that they
find. Imports of a server took 4.6 s of processor time with them, 3.4 s without, 2.9 s without garbage collection, too.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# MONAI's `optional_import` takes each for not installed: an error at use, not at import.
UNUSED = ("ignite", "matplotlib", "scipy.signal", "skimage", "sklearn", "tensorboard")


@contextmanager
def hidden(packages: tuple[str, ...] = UNUSED) -> Iterator[None]:
    """Let imports of packages fail that are not loaded yet. Not for use beside other threads that import."""
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def import_framework() -> None:
    """Import MONAI Label and the app, without what is unused."""
    gc.disable()  # nothing that an import makes is garbage, but all of it would be looked through again and again
    try:
        with hidden():
            importlib.import_module("monailabel.interfaces.app")
            importlib.import_module("monailabel.main")
        importlib.import_module("wslpet.server.app")
    finally:
        gc.freeze()
        gc.enable()
