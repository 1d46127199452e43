"""Import MONAI Label without optional packages that the server does not use.

MONAI Label needs a few functions of MONAI, whose import loads all of its modules and every optional package that is
installed. The imports of a server took 4.6 s of processor time with these packages, 3.4 s without them, and 2.9 s
without them and without garbage collection.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# For MONAI's `optional_import` these packages are not installed: an error is raised at their use, not at the import.
UNUSED = ("ignite", "matplotlib", "scipy.signal", "skimage", "sklearn", "tensorboard")


@contextmanager
def hidden(packages: tuple[str, ...] = UNUSED) -> Iterator[None]:
    """Context manager: make imports of packages that are not loaded yet fail. No other thread may import meanwhile."""
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def import_framework() -> None:
    """Import MONAI Label and the app without the unused packages."""
    gc.disable()  # imports create hardly any garbage, but the collector would scan all new objects again and again
    try:
        with hidden():
            importlib.import_module("monailabel.interfaces.app")
            importlib.import_module("monailabel.main")
        importlib.import_module("wslpet.server.app")
    finally:
        gc.freeze()
        gc.enable()
