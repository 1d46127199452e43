"""What libraries would write into the server's log, and must not or need not."""

from __future__ import annotations

import logging
import warnings

# They tell whole requests, in which a viewer may have put anything, and who sent them; every request to the PACS; every
# look at the folder.
TALKATIVE = (
    "monailabel.endpoints",
    "monailabel.utils.async_tasks",
    "monailabel.utils.sessions",
    "monailabel.datastore.local",
    "dicomweb_client",
)
# highdicom warns of names of one part by quoting them; patients' names do not belong into logs.
QUOTES_NAMES = "The string .* is unlikely to represent"


def quieten() -> None:
    """For this process, once or again: of the app that runs, not of who imports its modules."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", QUOTES_NAMES, UserWarning)
