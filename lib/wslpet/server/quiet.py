"""Log filters: libraries must not write personal data to the server's log, and need not log every request."""

from __future__ import annotations

import logging
import warnings

# Loggers that write whole requests with the sender's name, every request to the PACS, or every listing of the folder.
TALKATIVE = (
    "monailabel.endpoints",
    "monailabel.utils.async_tasks",
    "monailabel.utils.sessions",
    "monailabel.datastore.local",
    "dicomweb_client",
)
# highdicom quotes a person's name in a warning if the name has one component; patients' names must not be logged.
QUOTES_NAMES = "The string .* is unlikely to represent"


def quieten() -> None:
    """Install the filters in this process; a second call changes nothing. The app calls it, not the import."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", QUOTES_NAMES, UserWarning)
