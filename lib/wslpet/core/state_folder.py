"""State folder of a studies folder: `.wslpet` in it, or where an environment variable says."""

from __future__ import annotations

import os
from pathlib import Path

# The same as `--conf state_dir`, for the server and the commands.
VARIABLE = "WSLPET_STATE_DIR"
PRIVATE = ".wslpet"


def state_folder(studies: Path) -> Path:
    """Folder in which seeds, weights and caches of a studies folder are kept."""
    elsewhere = os.environ.get(VARIABLE, "").strip()
    return Path(elsewhere) if elsewhere else studies / PRIVATE
