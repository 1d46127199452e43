"""Convert series to SUV at their first use; failures are remembered for some minutes."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from wslpet.core.errors import DicomError
from wslpet.io.dicom.series import read_series
from wslpet.server.series.cache import CachedSeries, SeriesCache
from wslpet.server.series.sources.source import FoundSeries, SeriesSource

logger = logging.getLogger(__name__)

# A refused series is read again after this time: its transfer may be complete then, or its header corrected.
REFUSED_SECONDS = 300.0


class Conversion:
    """Converts series of `source` to SUV and keeps them in `cache`; safe for several threads and processes."""

    def __init__(self, source: SeriesSource, cache: SeriesCache) -> None:
        self._source = source
        self._cache = cache
        self._refused: dict[tuple[str, str], tuple[float, DicomError]] = {}

    def get(self, series: FoundSeries) -> CachedSeries:
        """Return the series in SUV. It is converted if the cache does not have this version of it.

        Raises
        ------
        DicomError
            if it cannot be converted.
        PacsError
            if the PACS does not send it.
        StorageError
            if the disk is full.
        """
        kept = self._cache.get(series.uid, series.version)
        if kept is not None:
            return kept
        with self._cache.lock(series.uid) as scratch:
            # Another thread or process may have converted it meanwhile.
            return self._cache.get(series.uid, series.version) or self._convert(series, scratch)

    def has(self, series: FoundSeries) -> bool:
        """Whether the cache has this version of a series."""
        return self._cache.get(series.uid, series.version) is not None

    def refused(self) -> dict[str, str]:
        """UID → reason, of the series that were refused within `REFUSED_SECONDS`."""
        recent = {key: known for key, known in list(self._refused.items()) if _is_recent(known[0])}
        self._refused = recent
        return {uid: str(error) for (uid, _), (_, error) in recent.items()}

    def _convert(self, series: FoundSeries, scratch: Path) -> CachedSeries:
        key = (series.uid, series.version)
        if key in self._refused and _is_recent(self._refused[key][0]):
            raise self._refused[key][1]
        fetched = scratch / "fetched"
        fetched.mkdir()
        try:
            read = read_series(self._source.fetch(series, fetched))
        except DicomError as error:
            self._refused[key] = (time.monotonic(), error)
            raise
        self._refused.pop(key, None)
        logger.info("series %s is converted to SUV", series.uid)
        for note in read.notes:
            logger.warning("series %s: %s", series.uid, note)
        return self._cache.put(series.uid, series.version, read, scratch)


def _is_recent(when: float) -> bool:
    return time.monotonic() - when < REFUSED_SECONDS
