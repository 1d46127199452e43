"""Remarks for the users: images that cannot be used, or that a training does not use, with the reasons."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from wslpet.server.storage.annotated_images import AnnotatedImages
from wslpet.server.storage.annotations.label_seeds import LabelSeeds


def uncounted(store: AnnotatedImages, label_seeds: LabelSeeds) -> dict[str, str]:
    """Image → why a training does not use its annotation: unknown type, or a label that could not become a seed."""
    images, classes = set(store.list_images()), store.settings.classes
    reasons = {image: why for image, why in label_seeds.reasons().items() if image in images}
    for image, seed in store.seeds.newest().items():
        if image in images and seed.cancer_type not in classes:
            here = ", ".join(classes)
            reasons[image] = f"annotated as {seed.cancer_type} by {seed.user}, which is no type here ({here})"
    return reasons


def remarks(store: AnnotatedImages, label_seeds: LabelSeeds) -> list[str]:
    """Return sentences about the images, for the users of the server."""
    images, classes, unusable = set(store.list_images()), store.settings.classes, store.unusable()
    unknown = Counter(
        seed.cancer_type
        for image, seed in store.seeds.newest().items()
        if image in images and seed.cancer_type not in classes
    )
    sentences = [_unknown_type(name, count, classes) for name, count in sorted(unknown.items())]
    labels, unread = label_seeds.reasons().keys() & images, label_seeds.unread()
    if labels:
        sentences.append(
            f"{_patients(len(labels))} stay to be annotated though they have a label; the cohort says why."
        )
    elif unread:
        sentences.append(f"{_patients(unread)} have a label that is still being read.")
    if not images:
        sentences.append(store.trouble or f"There is no PET scan on this server ({store.name()}).")
    elif len(unusable.keys() & images) == len(images):
        first = min(images)
        sentences.append(
            f"None of the {len(images)} scans can be used; the cohort says why. {first}: {unusable[first]}"
        )
    return sentences


def _patients(count: int) -> str:
    return "1 patient" if count == 1 else f"{count} patients"


def _unknown_type(name: str, count: int, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, classes, n=1)
    new = near[0] if near else "NEW NAME"
    are = "is" if count == 1 else "are"
    return (
        f"{_patients(count)} {are} annotated as {name}, which is no type here ({', '.join(classes)}), and wait to be "
        "annotated again. If only the name changed, start the server with "
        f'--conf rename "{name}:{new}"; nothing is lost.'
    )
