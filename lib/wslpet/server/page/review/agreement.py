"""Agreement of the readers of each patient and of the cohort; each pair of readings is compared once and kept."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from wslpet.analysis.burden.readers import CohortAgreement, PairAgreement, compare, summarise
from wslpet.core.errors import InputError
from wslpet.core.seeds import Annotation
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.tables.burden import CohortBurden
from wslpet.server.storage.annotations.readings import reader_key

logger = logging.getLogger(__name__)

# Some ten thousand pairs.
CACHE_BYTES = 32 << 20


class ReaderAgreement:
    """Compares the readings of the images of a page's datastore, as far as nobody is blind to them any more."""

    def __init__(self, page: AnnotationPage, burden: CohortBurden) -> None:
        self._store = page.datastore
        self._burden = burden
        self._kept = DiskCache(self._store.private / "agreement", CACHE_BYTES)
        self._times: Counter[str] = Counter()

    def compared_times(self, image: str) -> int:
        """How often readings of an image were compared since the server started: when this changes, `known` may."""
        return self._times[image]

    def known(self, image: str) -> list[PairAgreement]:
        """Pairs of an image that were compared before."""
        try:
            found = [self._kept.get(self._key(image, pair)) for pair in self._pairs(image)]
        except (InputError, OSError):
            return []
        return [PairAgreement.from_dict(json.loads(kept)) for kept in found if kept is not None]

    def measured(self, image: str) -> list[PairAgreement]:
        """Every pair of an image's readers, by name; errors as of a reading that cannot be delineated."""
        return [self._compared(image, pair) for pair in self._pairs(image)]

    def tried(self, image: str) -> list[PairAgreement]:
        """As `measured`; nothing, and a line in the log, where a reading cannot be delineated."""
        try:
            return self.measured(image)
        except (InputError, OSError) as error:
            logger.warning("readers of %s are not compared: %s", image, error)
            return []

    def table(self) -> Iterator[tuple[str, PairAgreement]]:
        """Image and pair of readers, by name; what is not known yet is compared now, what cannot be is left out."""
        for image in sorted(self._store.list_images()):
            yield from ((image, pair) for pair in self.tried(image))

    def cohort(self) -> tuple[list[CohortAgreement], int]:
        """Each two readers over the patients that were compared before; and how many pairs are still to be."""
        images = self._store.list_images()
        known = [pair for image in images for pair in self.known(image)]
        return summarise(known), sum(len(self._pairs(image)) for image in images) - len(known)

    def _pairs(self, image: str) -> list[tuple[Annotation, Annotation]]:
        here = self._store.readings.of(image)
        if not here.complete:
            return []
        return list(combinations(sorted(here.readings, key=lambda said: reader_key(said.user)), 2))

    def _compared(self, image: str, pair: tuple[Annotation, Annotation]) -> PairAgreement:
        key = self._key(image, pair)
        kept = self._kept.get(key)
        if kept is not None:
            return PairAgreement.from_dict(json.loads(kept))
        first, second = (self._burden.labels(image, said) for said in pair)
        voxel_ml = float(np.prod(first.spacing)) / 1000
        names, types = (pair[0].user, pair[1].user), (pair[0].cancer_type, pair[1].cancer_type)
        made = compare(names, types, (first.array, second.array), voxel_ml)
        self._kept.set(key, json.dumps(made.to_dict()).encode())
        self._times[image] += 1
        return made

    def _key(self, image: str, pair: tuple[Annotation, Annotation]) -> str:
        return " ".join(self._burden.key(image, said) for said in pair)
