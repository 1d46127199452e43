"""The annotator's desk: a patient is laid out, a click is tried, an annotation is recorded or taken back.

Trying a click records nothing; saving records the same seed through the same code as a viewer's click, so both give
the same contour.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import NO_TUMOUR, Seed, Withdrawal
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.inference.pipeline import check_click, delineate
from wslpet.method.projection.mip import Views, rotated_mip
from wslpet.server.errors import Conflict, quoted
from wslpet.server.page.schemas import Annotation, Next, Patient, Save, Saved, Withdraw
from wslpet.server.series.datastore import FINAL, SeriesDatastore
from wslpet.server.storage.clicks import place
from wslpet.server.tasks.findings import Delineated, delineated
from wslpet.server.tasks.infer import processors
from wslpet.server.tasks.predictions import Predictions

# A browser that has not asked for this long has closed its patients.
HELD_SECONDS = 20.0
_STEPS = 65535


class Desk:
    """The annotation service: patients to annotate, the lesion at a click, and the annotations that are recorded.

    Parameters
    ----------
    app : MONAI Label's app; its strategies choose the next patient.
    """

    def __init__(self, app: Any, datastore: SeriesDatastore, predictions: Predictions, settings: Settings) -> None:
        self.boot = uuid.uuid4().hex
        self.datastore = datastore
        self.predictions = predictions
        self.settings = settings
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
        told = self.datastore.remarks()
        if images:
            told.append(f"{len(annotated)} of {len(images)} patients are annotated.")
        if unusable and annotated:
            told.append(f"{unusable} cannot be used; the cohort says why.")
        if left.elsewhere:
            told.append(f"{left.elsewhere} are open in other browsers.")
        return " ".join(told)

    def hold(self, client: str, images: list[str]) -> None:
        """Say that a browser has these images open."""
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
            history=self.history(image_id),
        )

    def title(self, image_id: str) -> str:
        facts = self.datastore.facts(image_id)
        told = [facts[key] for key in ("PatientID", "StudyDate", "SeriesDescription") if facts.get(key)]
        return " · ".join(told) or image_id

    def mips(self, image_id: str) -> bytes:
        """Little-endian uint16, (u, z) each: coronal MIP, its depth, sagittal MIP, its depth."""
        views = self.datastore.views(image_id)
        step = _suv_step(views)
        return b"".join(_steps(view.mip, step) + view.depth.astype("<u2").tobytes() for view in views)

    def turned(self, image_id: str, degrees: float) -> bytes:
        """Little-endian uint16, (u, z) each: the MIP from a side, and the x and y that its pixels came from."""
        with processors, self.datastore.checkout(image_id) as volume:
            seen = rotated_mip(volume.to_ras(), degrees)
        step = _suv_step(self.datastore.views(image_id))
        x, y = (seen.column[..., axis].astype("<u2").tobytes() for axis in (0, 1))
        return _steps(seen.mip, step) + x + y

    def slice(self, image_id: str, z: int) -> bytes:
        """Little-endian uint16 (x, y): an axial slice of the RAS volume, in the patient's SUV steps."""
        ras = self.datastore.volume(image_id).to_ras()
        if not 0 <= z < ras.shape[2]:
            raise InputError(f"slice {z} of {quoted(image_id)} does not exist; there are 0 to {ras.shape[2] - 1}")
        return _steps(ras.array[:, :, z], _suv_step(self.datastore.views(image_id)))

    def delineate(self, image_id: str, cancer_type: str, position: tuple[float, float, float]) -> Delineated | None:
        """Delineate the lesion at a click, with what is doubtful about it; None for "no tumour". Nothing is recorded.

        Raises
        ------
        SeedError
            when the type is not configured, the position is outside the scan, or nothing stands out there.
        """
        with processors, self.datastore.checkout(image_id) as volume:
            seed = self._seed(volume, cancer_type, position, "")
            return delineated(delineate(volume, seed, settings=self.settings, sure=True))

    def annotate(self, image_id: str, save: Save, user: str) -> Saved:
        """Record an annotation; it is on disk when this returns.

        The same request again is answered, not recorded again, also when both come at once, or the server was
        restarted in between.

        Raises
        ------
        SeedError
            when the type is not configured, the position is missing or outside the scan, or nothing stands out there,
            where the annotator is sure: nearly nothing.
        Conflict
            when the request's id is that of another annotation.
        """
        if save.cancer_type != NO_TUMOUR and save.position is None:
            raise SeedError(f"{save.cancer_type} needs a place; click on the tumour")
        meanwhile: list[Seed | Withdrawal] = []

        def known(history: Sequence[Seed | Withdrawal]) -> Seed | None:
            meanwhile[:] = [said for said in history[save.seen :] if said.user != user]
            return _known(history, seed, save.seen)

        with processors, self.datastore.checkout(image_id) as volume:
            middle = volume.to_world((np.array(volume.shape) - 1) / 2)
            seed = self._seed(volume, save.cancer_type, save.position or tuple(middle), user, save.id)
            if known(self.datastore.seeds.history(image_id)) is None:
                check_click(volume, seed, self.settings, save.sure)
        recorded = self.datastore.record_seed(image_id, seed, known)
        standing = self.datastore.seeds.get(image_id)[-1:]
        return Saved(
            annotation=_annotation(recorded, recorded in standing),
            known=recorded is not seed,
            meanwhile=[_annotation(said) for said in meanwhile],
            history=self.history(image_id),
        )

    def withdraw(self, image_id: str, what: Withdraw, user: str) -> list[Annotation]:
        """Take back the newest annotation, or all; returns the history.

        A final label goes with all of them, since it would count as an annotation, too; `.wslpet/superseded` keeps it.

        Raises
        ------
        Conflict
            when another annotation is the newest by now.
        InputError
            when the final label is on a PACS, from where it is not deleted.
        """
        self.datastore.image_path(image_id)
        self.datastore.seeds.withdraw(image_id, what.time, user, what.all)
        if what.all and self.datastore.get_label_uri(image_id, FINAL):
            self.datastore.remove_label(image_id, FINAL)
        return self.history(image_id)

    def history(self, image_id: str) -> list[Annotation]:
        newest = self.datastore.seeds.get(image_id)[-1:]
        standing = [seed for seed in newest if seed.cancer_type in self.settings.classes]
        return [_annotation(said, said in standing) for said in self.datastore.seeds.history(image_id)]

    def _seed(self, volume: Volume, cancer_type: str, position: Any, user: str, id_: str = "") -> Seed:
        if cancer_type not in self.settings.classes:
            raise SeedError(f"unknown cancer type {quoted(cancer_type)}; known are {', '.join(self.settings.classes)}")
        index = np.round(volume.to_index(np.array(position)), 3).tolist()
        return replace(place((cancer_type, index), volume, user), id=id_)

    def _held_by_others(self, client: str) -> set[str]:
        now = time.monotonic()
        return {image for image, (who, until) in list(self._held.items()) if who != client and until > now}


def _known(history: Sequence[Seed | Withdrawal], seed: Seed, seen: int) -> Seed | None:
    """The seed of a history that the same request brought; raises Conflict when the id is another seed's.

    It has the same id or, without one, is the same click of the same person, which that person had not seen yet.
    """
    if not seed.id:
        return next((said for said in history[seen:] if isinstance(said, Seed) and _is_same(said, seed)), None)
    known = next((said for said in history if isinstance(said, Seed) and said.id == seed.id), None)
    if known is not None and not _is_same(known, seed):
        raise Conflict(
            f"the id {quoted(seed.id)} is that of another annotation of this image, {known.cancer_type} by "
            f"{quoted(known.user)} at {known.time}; nothing was recorded: send a new id with every annotation"
        )
    return known


def _is_same(said: Seed, seed: Seed) -> bool:
    return (said.user, said.cancer_type, said.index) == (seed.user, seed.cancer_type, seed.index)


def _annotation(said: Seed | Withdrawal, counts: bool = False) -> Annotation:
    if isinstance(said, Withdrawal):
        return Annotation(kind="withdrawn", user=said.user, time=said.time)
    position = None if said.cancer_type == NO_TUMOUR else said.position
    return Annotation(
        kind="seed", user=said.user, time=said.time, cancer_type=said.cancer_type, position=position, counts=counts
    )


def _suv_step(views: Views) -> float:
    return max(float(views.coronal.mip.max()), 1e-3) / _STEPS


def _steps(suv: Array, step: float) -> bytes:
    return np.rint(np.clip(suv / np.float32(step), 0, _STEPS)).astype("<u2").tobytes()
