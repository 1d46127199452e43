"""The server's imports: what is left out, and that what is left works."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wslpet.cli.serving.lean import UNUSED, hidden

CODE = """
import sys
import wslpet.server.storage.places
from wslpet.cli.serving import lean
assert "torch" not in sys.modules
lean.import_framework()
print(*(name for name in lean.UNUSED if name in sys.modules))
import numpy as np
from wslpet.analysis.overlap import hd95
mask, truth = np.zeros((2, 6, 6, 6), bool)
mask[1:3, 2:4, 2:4] = truth[1:5, 2:4, 2:4] = True
print(hd95(mask, truth, (3.0, 1.0, 1.0)))
"""


def test_the_server_loads_no_unused_package_and_monai_still_measures():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (0, ["", "6.0"]), done.stderr


def test_hidden_packages_come_back(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    import json

    with hidden(("wave", "json")):
        import json as again

        with pytest.raises(ImportError, match="wave"):
            import wave
    import wave

    assert again is json and wave.open
    assert "torch" not in UNUSED
