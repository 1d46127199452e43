"""What the annotation page shows of a patient, and its clicks, as the annotation service takes them."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import replace
from typing import Any

import numpy as np

from wslpet.core import seeds
from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR, Withdrawal
from wslpet.core.settings import Settings
from wslpet.method.projection.mip import Views, rotated_mip
from wslpet.server.errors import quoted
from wslpet.server.page.schemas import (
    AnnotatedSeed,
    Annotation,
    Click,
    Next,
    Patient,
    Plane,
    Save,
    Saved,
    Withdraw,
)
from wslpet.server.series.ct import FusedCt
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.storage.annotations.requests import AnnotationRequest, Place
from wslpet.server.storage.annotations.service import AnnotationService
from wslpet.server.tasks.findings import Contour, Delineated, delineated
from wslpet.server.tasks.predictions import Predictions

# A browser that has not asked for this long has closed its patients.
HELD_SECONDS = 20.0
_STEPS = 65535
# By the axis that a slice lies across, x, y, z in RAS.
PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")


class AnnotationPage:
    """Patients as the page shows them: who is next, what they look like, what was said of them.

    Parameters
    ----------
    app : MONAI Label's app; its strategies choose the next patient.
    """

    def __init__(self, app: Any, datastore: SeriesDatastore, predictions: Predictions, settings: Settings) -> None:
        self.boot = uuid.uuid4().hex
        self.datastore = datastore
        self.predictions = predictions
        self.settings = settings
        self.annotations = AnnotationService(datastore, settings)
        self._ct = FusedCt(datastore)
        self._app = app
        self._held: dict[str, tuple[str, float]] = {}
        self._choosing = threading.Lock()

    def next(self, strategy: str, client: str, exclude: list[str]) -> Next:
        """The next patient by a strategy, that no other browser holds; it is held for this one from now on."""
        with self._choosing:
            elsewhere = self._held_by_others(client)
            chosen = self._app.next_sample({"strategy": strategy, "exclude": [*exclude, *elsewhere]})
            image = chosen["id"] if chosen else None
            self.hold(client, [image] if image else [])
        waiting = set(self.datastore.waiting())
        left = Next(image=image, waiting=len(waiting), elsewhere=len(waiting & elsewhere))
        return left if image else left.model_copy(update={"message": self._nobody_left(left)})

    def _nobody_left(self, left: Next) -> str:
        """What it means that no patient is offered; that all is done, only where it is."""
        images, annotated = set(self.datastore.list_images()), self.datastore.annotated()
        unusable = len((self.datastore.unusable().keys() & images) - annotated)
        sentences = self.datastore.remarks()
        if images:
            sentences.append(f"{len(annotated)} of {len(images)} patients are annotated.")
        if unusable and annotated:
            sentences.append(f"{unusable} cannot be used; the cohort says why.")
        if left.elsewhere:
            sentences.append(f"{left.elsewhere} are open in other browsers.")
        return " ".join(sentences)

    def hold(self, client: str, images: list[str]) -> None:
        """Say that a browser has these images open; that it has none any more, as it says when it is closed."""
        if not images:
            self._held = {image: held for image, held in list(self._held.items()) if held[0] != client}
        until = time.monotonic() + HELD_SECONDS
        for image in images:
            if client and image not in self._held_by_others(client):
                self._held[image] = (client, until)
        now = time.monotonic()
        self._held = {image: held for image, held in list(self._held.items()) if held[1] > now}

    def patient(self, image_id: str) -> Patient:
        views = self.datastore.views(image_id)
        (x, z), (y, _) = (view.mip.shape for view in views)
        (sx, sz, sy) = views.coronal.spacing
        return Patient(
            image=image_id,
            title=self.title(image_id),
            shape=(x, y, z),
            spacing=(sx, sy, sz),
            affine=views.affine.tolist(),
            suv_step=_suv_step(views),
            notes=self.datastore.notes(image_id),
            ct=self._ct.path(image_id) is not None,
            history=self.history(image_id),
        )

    def title(self, image_id: str) -> str:
        facts = self.datastore.facts(image_id)
        described = [facts[key] for key in ("PatientID", "StudyDate", "SeriesDescription") if facts.get(key)]
        return " · ".join(described) or image_id

    def mips(self, image_id: str) -> bytes:
        """Little-endian uint16, (u, z) each: coronal MIP, its depth, sagittal MIP, its depth."""
        views = self.datastore.views(image_id)
        step = _suv_step(views)
        return b"".join(_steps(view.mip, step) + view.depth.astype("<u2").tobytes() for view in views)

    def turned(self, image_id: str, degrees: float) -> bytes:
        """Little-endian uint16, (u, z) each: the MIP from a side, and the x and y that its pixels came from."""
        with self.annotations.opened(self.datastore.image_path(image_id)) as scan:
            rotated = rotated_mip(scan.volume.to_ras(), degrees)
        step = _suv_step(self.datastore.views(image_id))
        x, y = (rotated.column[..., axis].astype("<u2").tobytes() for axis in (0, 1))
        return _steps(rotated.mip, step) + x + y

    def slices(self, image_id: str, plane: Plane, index: int, count: int) -> bytes:
        """Little-endian uint16: slices of the RAS volume one after the other, in the patient's SUV steps.

        Axial ones are (x, y), coronal ones (x, z), sagittal ones (y, z); fewer than `count` at the volume's end.
        """
        ras = self.datastore.volume(image_id).to_ras()
        return _steps(sliced(ras.array, image_id, plane, index, count), _suv_step(self.datastore.views(image_id)))

    def ct_slices(self, image_id: str, plane: Plane, index: int, count: int) -> bytes:
        """Little-endian int16 in HU: as `slices`, of the CT on the same voxels; errors also as of `FusedCt.array`."""
        return sliced(self._ct.array(image_id), image_id, plane, index, count).astype("<i2").tobytes()

    def delineate(self, image_id: str, click: Click) -> Delineated | None:
        """Delineate the lesions at clicks, with what is doubtful about them; None for "no tumour".

        Nothing is recorded; errors as of `AnnotationService.preview`.
        """
        return delineated(self.annotations.preview(_request(image_id, click, "")))

    def annotate(self, image_id: str, save: Save, user: str) -> Saved:
        """Record an annotation; it is on disk when this returns.

        The same request again is answered, not recorded again; errors as of `AnnotationService.check`.
        """
        asked = replace(_request(image_id, save, user), id=save.id, seen=save.seen, sure=save.sure)
        recorded = self.annotations.check(asked)
        standing = self.datastore.seeds.get(image_id)[-1:]
        return Saved(
            annotation=_annotation(recorded.annotation, recorded.annotation in standing),
            known=recorded.known,
            meanwhile=[_annotation(said) for said in recorded.meanwhile],
            history=self.history(image_id),
        )

    def withdraw(self, image_id: str, what: Withdraw, user: str) -> list[Annotation]:
        """Take back the newest annotation, or all; returns the history. Errors as of `AnnotationService.withdraw`."""
        self.annotations.withdraw(image_id, what.time, user, what.all)
        return self.history(image_id)

    def history(self, image_id: str) -> list[Annotation]:
        return [_annotation(said, counts) for said, counts in self.annotations.history(image_id)]

    def _held_by_others(self, client: str) -> set[str]:
        now = time.monotonic()
        return {image for image, (who, until) in list(self._held.items()) if who != client and until > now}


def sliced(array: Array, image_id: str, plane: Plane, index: int, count: int) -> Array:
    """`count` slices (slice, u, v) of a RAS array (x, y, z) from one on; raises InputError where there is none."""
    axis = PLANES.index(plane)
    if not 0 <= index < array.shape[axis]:
        there = f"there are 0 to {array.shape[axis] - 1}"
        raise InputError(f"{plane} slice {index} of {quoted(image_id)} does not exist; {there}")
    return np.moveaxis(array, axis, 0)[index : index + count]


def _annotation(said: seeds.Annotation | Withdrawal, counts: bool = False) -> Annotation:
    if isinstance(said, Withdrawal):
        return Annotation(kind="withdrawn", user=said.user, time=said.time)
    seeds = () if said.cancer_type == NO_TUMOUR else said.seeds
    return Annotation(
        kind="seed",
        user=said.user,
        time=said.time,
        cancer_type=said.cancer_type,
        position=seeds[0].position if seeds else None,
        seeds=[
            AnnotatedSeed(
                position=seed.position, contour=Contour.from_choice(seed.contour), user=seed.user, time=seed.time
            )
            for seed in seeds
        ],
        background=[seed.position for seed in said.background],
        counts=counts,
    )


def _request(image_id: str, click: Click, user: str) -> AnnotationRequest:
    lesions = tuple(Place(position=seed.position, contour=seed.contour.choice()) for seed in click.seeds)
    if click.position is not None:
        lesions = (Place(position=click.position),)
    background = tuple(Place(position=position) for position in click.background)
    return AnnotationRequest(image_id, click.cancer_type, user, lesions, background)


def _suv_step(views: Views) -> float:
    return max(float(views.coronal.mip.max()), 1e-3) / _STEPS


def _steps(suv: Array, step: float) -> bytes:
    return np.rint(np.clip(suv / np.float32(step), 0, _STEPS)).astype("<u2").tobytes()
