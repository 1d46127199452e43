"""The site's atlas of normal uptake: a file that each training renews, and the page's overlay reads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from wslpet.core.errors import InputError
from wslpet.method.normal.atlas import load_atlas, save_atlas
from wslpet.method.normal.reference import Reference, load_reference
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample
from wslpet.method.segmentation.volumes.site_atlas import site_atlas
from wslpet.server.storage.datastore import SeededDatastore

logger = logging.getLogger(__name__)

FILE = "normal_uptake.npz"


def renew_atlas(datastore: SeededDatastore, examples: Sequence[LesionExample]) -> None:
    """Write the atlas of the annotated scans; what is there stays if they are too few, or parts of bodies."""
    try:
        atlas = site_atlas(examples)
    except InputError as error:
        logger.warning("the atlas of normal uptake stays as it is: %s", error)
        return
    if atlas is not None:
        save_atlas(atlas, datastore.private / FILE)


def known_normal(datastore: SeededDatastore) -> tuple[Reference, bool]:
    """The reference of normal uptake, and whether its atlas is the site's own; otherwise it is the shipped one.

    Raises
    ------
    ModelError
        if the site's file is damaged; the next training writes it again.
    """
    path = datastore.private / FILE
    shipped = load_reference()
    return (replace(shipped, atlas=load_atlas(path)), True) if path.is_file() else (shipped, False)
