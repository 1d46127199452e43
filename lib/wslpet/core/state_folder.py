"""Where a server keeps what it learns of a studies folder: in `.wslpet` there, or where a setting says."""

from __future__ import annotations

import os
from pathlib import Path

# As `--conf state_dir`, for the server and the terminal's commands alike.
VARIABLE = "WSLPET_STATE_DIR"
PRIVATE = ".wslpet"


def state_folder(studies: Path) -> Path:
    """The folder of clicks, weights and caches of a studies folder."""
    elsewhere = os.environ.get(VARIABLE, "").strip()
    return Path(elsewhere) if elsewhere else studies / PRIVATE
