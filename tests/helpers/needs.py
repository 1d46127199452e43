"""What some tests need beside Python: where it is missing they are skipped, and where VIEWERS=required they fail."""

from __future__ import annotations

import os
import shutil

import pytest

from wslpet.cli.demo import orthanc as pacs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Set by `make test-viewers` and in CI.
REQUIRED = os.environ.get("VIEWERS") == "required"

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED, reason="no Chromium here: apt-get install chromium"
)
needs_pacs = pytest.mark.skipif(not pacs.is_installed() and not REQUIRED, reason=f"no PACS here: {pacs.REMEDY}")
