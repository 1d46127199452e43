"""Training examples of the annotated images, cached on disk: projections with seeds, and MIPs with clicked lesions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.seeds import Annotation
from wslpet.core.settings import Settings
from wslpet.io.cache.disk_cache import DiskCache, pack_arrays, unpack_arrays
from wslpet.method.network.inputs import Example, example_arrays, example_from_arrays, prepare
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample, clicked_mips, mip_arrays, mips_from_arrays
from wslpet.server.storage.datastore import SeededDatastore

logger = logging.getLogger(__name__)

# Space for a thousand patients.
PREPARED_BYTES = 2 << 30


@dataclass(frozen=True)
class Examples:
    """What the annotated images teach.

    Parameters
    ----------
    cam : of the CAM network.
    lesions : of the segmenter, of the same patients.
    skipped : image → why it is left out.
    """

    cam: list[Example] = field(default_factory=list)
    lesions: list[LesionExample] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def examples_of(datastore: SeededDatastore, settings: Settings) -> Examples:
    """Prepare every annotated image, or take it from the cache; one that fails is left out, with the reason."""
    made = Examples()
    cache = DiskCache(datastore.private / "prepared", PREPARED_BYTES)
    for image, annotation in sorted(datastore.seeded().items()):
        try:
            example = _cam_example(datastore, cache, image, annotation, settings)
            patient = datastore.facts(image).get("PatientID", "") or image
            lesions = LesionExample((), annotation.cancer_type, patient)
            if settings.segmenter_steps:
                lesions = _lesion_example(datastore, cache, image, annotation, patient)
        except (InputError, OSError) as error:
            logger.warning("image %s is left out: %s", image, error)
            made.skipped[image] = str(error)
            continue
        made.cam.append(replace(example, name=image, patient_id=patient))
        made.lesions.append(lesions)
    return made


def _cam_example(
    datastore: SeededDatastore, cache: DiskCache, image: str, annotation: Annotation, settings: Settings
) -> Example:
    places = [seed.position for seed in annotation.seeds]
    key = [datastore.image_version(image), annotation.cancer_type, places, settings.grid_mm, 2]
    return example_from_arrays(
        _cached(cache, key, lambda: example_arrays(prepare(datastore.views(image), annotation, settings)))
    )


def _lesion_example(
    datastore: SeededDatastore, cache: DiskCache, image: str, annotation: Annotation, patient: str
) -> LesionExample:
    clicks = [[seed.position, asdict(seed.contour)] for seed in annotation.seeds]
    background = [seed.position for seed in annotation.background]
    key = [datastore.image_version(image), annotation.cancer_type, clicks, background, "lesions 1"]

    def made() -> Mapping[str, Any]:
        return mip_arrays(clicked_mips(datastore.volume(image).to_ras(), annotation))

    return LesionExample(mips_from_arrays(_cached(cache, key, made)), annotation.cancer_type, patient)


def _cached(cache: DiskCache, key: list[Any], make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Array]:
    """Arrays from the cache, if the image's file and what the key names are unchanged; else made and kept."""
    name = json.dumps(key)
    kept = cache.get(name)
    if kept is not None:
        return unpack_arrays(kept)
    arrays = make()
    cache.set(name, pack_arrays(arrays))
    return arrays
