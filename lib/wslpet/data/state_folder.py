"""State folder of a studies folder: `.wslpet` inside it, or the folder that an environment variable names."""

from __future__ import annotations

import os
from pathlib import Path

# Environment variable for the server and the commands; the server's option `--conf state_dir` sets the same folder.
VARIABLE = "WSLPET_STATE_DIR"
PRIVATE = ".wslpet"


def state_folder(studies: Path) -> Path:
    """Return the folder that holds the seeds, weights and caches of a studies folder."""
    elsewhere = os.environ.get(VARIABLE, "").strip()
    return Path(elsewhere) if elsewhere else studies / PRIVATE
