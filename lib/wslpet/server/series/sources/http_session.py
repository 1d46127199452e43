"""HTTP session of a PACS: login, time limits, and failures as words."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter

CONNECT_SECONDS = 5.0


def new_session(login: tuple[str, str] | None, read_seconds: float) -> requests.Session:
    """Make a session.

    Parameters
    ----------
    login : user name and password, or None.
    read_seconds : time limit between two parts of an answer.
    """
    session = requests.Session()
    session.auth = login
    for scheme in ("http://", "https://"):
        session.mount(scheme, _TimeLimitAdapter(read_seconds))
    return session


def trouble(error: requests.RequestException) -> str:
    """Return what a PACS did instead of answering, as words that follow "the PACS", and the remedy."""
    response = error.response
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "did not answer in time; look after it, or try again"
    if response is not None and response.status_code in (401, 403):
        return (
            f"refused the login ({response.status_code}); set MONAI_LABEL_DICOMWEB_USERNAME and "
            "MONAI_LABEL_DICOMWEB_PASSWORD"
        )
    if response is not None:
        return f"answered {response.status_code} {response.reason}; look into its log"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "broke off in the middle of its answer; try again"
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return "answered what is not DICOMweb (no JSON); check the address"
    return "cannot be reached; start it, or check the address"


class _TimeLimitAdapter(HTTPAdapter):
    """HTTP adapter with time limits for the connection and for each part of an answer."""

    def __init__(self, read_seconds: float) -> None:
        self._seconds = (CONNECT_SECONDS, read_seconds)
        super().__init__()

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = self._seconds  # dicomweb-client 0.61 and newer pass 20 s
        return super().send(request, *args, **kwargs)
