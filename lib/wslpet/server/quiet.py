"""Log filters: libraries must not write personal data to the server's log, and need not log every poll."""

from __future__ import annotations

import logging
import warnings

# They log complete requests with their sender, every request to the PACS, and every listing of the folder.
TALKATIVE = (
    "monailabel.endpoints",
    "monailabel.utils.async_tasks",
    "monailabel.utils.sessions",
    "monailabel.datastore.local",
    "dicomweb_client",
)
# highdicom quotes names of one part in a warning; names of patients must not be logged.
QUOTES_NAMES = "The string .* is unlikely to represent"


def quieten() -> None:
    """Install the filters in this process; idempotent. Called by the app, so that an import changes nothing."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", QUOTES_NAMES, UserWarning)
