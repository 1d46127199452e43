"""Stream the files of a cohort as one zip archive, with one file in memory at a time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator

from wslpet.core.errors import InputError

LEFT_OUT = "left-out.txt"


class _Sent(io.RawIOBase):
    """Write-only file object of an archive; `taken` empties its buffer."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Return True, as `zipfile` requires."""
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        """Append to the buffer."""
        self._pieces.append(bytes(content))
        return len(content)

    def taken(self) -> bytes:
        """Return and remove what was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def zipped(files: Iterable[tuple[str, Callable[[], bytes]]]) -> Iterator[bytes]:
    """Yield a zip archive in pieces.

    Parameters
    ----------
    files : (name, function that returns the content). If the function raises InputError, the file is left out and
        listed in `left-out.txt` with the reason.
    """
    sent, left_out = _Sent(), []
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            try:
                made = content()
            except (InputError, OSError) as error:
                left_out.append(f"{name}: {error}")
                continue
            archive.writestr(name, made)
            yield sent.taken()
        if left_out:
            archive.writestr(LEFT_OUT, "\n".join(left_out) + "\n")
    yield sent.taken()
