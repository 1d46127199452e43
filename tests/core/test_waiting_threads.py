from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wslpet.core.parallel import wait_asleep

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_omp_wait_policy_that_is_set_is_not_changed(monkeypatch, given, kept):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == kept


def test_commands_set_omp_wait_policy_before_torch_is_imported():
    pytest.importorskip("torch")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    asked = [sys.executable, "-m", "wslpet", "model"]  # loads torch, whose OpenMP then tells its settings
    done = subprocess.run(
        asked, cwd=ROOT, env={**environment, "OMP_DISPLAY_ENV": "TRUE"}, capture_output=True, text=True, check=True
    )
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
