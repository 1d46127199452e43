"""Patients on the annotation page: the next one, their annotations on record, and new clicks."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from wslpet.core import seeds
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.data.log_records import LogRecord, Remark, Withdrawal
from wslpet.method.inference.pipeline import delineate
from wslpet.server.errors import Conflict, quoted
from wslpet.server.page.images import PatientImages, suv_step
from wslpet.server.page.schemas.annotations import (
    AnnotatedSeed,
    Annotation,
    Click,
    Next,
    Patient,
    ReadingState,
    RemarkRequest,
    Save,
    Saved,
    Withdraw,
)
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.sources.dicomweb import DicomWeb
from wslpet.server.storage.annotations.holds import VIEWER_SECONDS, Holds
from wslpet.server.storage.annotations.requests import AnnotationRequest, Place
from wslpet.server.storage.annotations.service import AnnotationService
from wslpet.server.tasks.findings import Contour, Delineated, Prediction, delineated
from wslpet.server.tasks.predictions import Predictions

# The strategy that gives patients to a reviewer.
REVIEW = "review"
# Before the name of whoever has a patient open in a viewer; a browser's own text is another one.
_VIEWER = "viewer "


class AnnotationPage:
    """The next patient of a reader, a patient's data and history, and what readers send.

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
        self.images = PatientImages(datastore, self.annotations)
        self._app = app
        self._held = Holds()
        self._choosing = threading.Lock()

    def next(self, strategy: str, client: str, exclude: list[str], reader: str = "") -> Next:
        """The next patient of a reader by a strategy, that nobody else has open; it is held for this browser."""
        with self._choosing:
            elsewhere = self._open_elsewhere(client)
            asked = {"strategy": strategy, "exclude": [*exclude, *elsewhere], "reader": reader}
            chosen = self._app.next_sample(asked)
            image = chosen["id"] if chosen else None
            self._held.add(client, [image] if image else [])
        waiting = set(self.datastore.to_review() if strategy == REVIEW else self.datastore.waiting(reader))
        left = Next(image=image, waiting=len(waiting), elsewhere=len(waiting & elsewhere))
        return left if image else left.model_copy(update={"message": self._nobody_left(left, strategy, reader)})

    def next_in_viewer(self, reader: str, exclude: list[str], sample: Callable[[list[str]], Any]) -> Any:
        """The next patient of a viewer, held for its reader until the reader asks for another one.

        Where only patients are left that others have open, one of these is offered: a viewer that was closed says so
        to nobody.

        Parameters
        ----------
        sample : gives a patient by MONAI Label's way, of images that are not excluded; nothing where none is left.
        """
        with self._choosing:
            chosen = sample([*exclude, *self._open_elsewhere(_VIEWER + reader)]) or sample(exclude)
            self._held.release(_VIEWER + reader)
            if chosen:
                self._held.add(_VIEWER + reader, [chosen["id"]], VIEWER_SECONDS)
        return chosen

    def _nobody_left(self, left: Next, strategy: str, reader: str) -> str:
        """What it means that no patient is offered; that all is done, only where it is."""
        images, annotated = set(self.datastore.list_images()), self.datastore.annotated()
        unusable = len((self.datastore.unusable().keys() & images) - annotated)
        sentences = self.datastore.remarks()
        if strategy == REVIEW:
            sentences.append("Every patient that all have read is reviewed.")
        elif images and self.datastore.readings.blind:
            own = sum(self.datastore.readings.of(image).of(reader) is not None for image in images)
            sentences.append(f"You have read {own} of {len(images)} patients; {len(self.datastore.waiting())} wait.")
        elif images:
            sentences.append(f"{len(annotated)} of {len(images)} patients are annotated.")
        if unusable and annotated:
            sentences.append(f"{unusable} cannot be used; the cohort says why.")
        if left.elsewhere:
            sentences.append(f"{left.elsewhere} are open in other browsers.")
        return " ".join(sentences)

    def hold(self, client: str, images: list[str]) -> None:
        """Say that a browser has these images open; that it has none any more, as it says when it is closed."""
        if images:
            self._held.add(client, images)
        else:
            self._held.release(client)

    def patient(self, image_id: str, reader: str = "") -> Patient:
        """A scan, as far as a reader may see what was said of it."""
        views = self.datastore.views(image_id)
        (x, z), (y, _) = (view.mip.shape for view in views)
        (sx, sz, sy) = views.coronal.spacing
        return Patient(
            image=image_id,
            title=self.datastore.title(image_id),
            shape=(x, y, z),
            spacing=(sx, sy, sz),
            affine=views.affine.tolist(),
            suv_step=suv_step(views),
            notes=self.datastore.notes(image_id),
            ct=self.images.has_ct(image_id),
            study=self._study(image_id),
            history=self.history(image_id, reader),
            readings=self.readings(image_id, reader),
        )

    def readings(self, image_id: str, reader: str) -> ReadingState | None:
        """How far the readings of an image are; None where one reader reads a patient."""
        here = self.datastore.readings.of(image_id)
        if here.needed == 1:
            return None
        return ReadingState(
            needed=here.needed,
            done=len(here.readings),
            mine=here.of(reader) is not None,
            open=here.complete,
            reviewed=here.consensus is not None,
        )

    def _study(self, image_id: str) -> str:
        """StudyInstanceUID of a series on a PACS, where OHIF opens it; "" of a file or a folder."""
        on_pacs = isinstance(self.datastore.source, DicomWeb)
        return self.datastore.facts(image_id).get("StudyInstanceUID", "") if on_pacs else ""

    def delineate(self, image_id: str, click: Click) -> Delineated | None:
        """Delineate the lesions at clicks, with what is doubtful about them; None for "no tumour".

        Nothing is recorded; errors as of `AnnotationService.preview`.
        """
        return delineated(self.annotations.preview(_request(image_id, click, "")))

    def annotate(self, image_id: str, save: Save, user: str) -> Saved:
        """Record an annotation; it is on disk when this returns.

        The same request again is answered, not recorded again; errors as of `AnnotationService.check`.
        """
        asked = replace(_request(image_id, save, user), id=save.id, seen=save.seen, sure=save.sure, review=save.review)
        if save.review:
            self._check_reviewable(image_id)
        recorded = self.annotations.check(asked)
        stands = recorded.annotation in self.datastore.seeds.get(image_id)[-1:]
        return Saved(
            annotation=_annotation(recorded.annotation, counts=stands, own=stands),
            known=recorded.known,
            meanwhile=[_annotation(said) for said in recorded.meanwhile],
            history=self.history(image_id, user),
        )

    def remark(self, image_id: str, said: RemarkRequest, user: str) -> list[Annotation]:
        """Record a remark; it is on disk when this returns the history."""
        self.annotations.remark(image_id, user, said.flag, said.unsure, said.comment.strip())
        return self.history(image_id, user)

    def withdraw(self, image_id: str, what: Withdraw, user: str) -> list[Annotation]:
        """Take back the newest annotation, or all; returns the history. Errors as of `AnnotationService.withdraw`."""
        self.annotations.withdraw(image_id, what.time, user, what.all)
        return self.history(image_id, user)

    def prediction(self, image_id: str, reader: str = "") -> Prediction:
        """What the weights in use say; errors as of `Predictions.get`.

        Raises
        ------
        Conflict
            when the weights may have learned from a reading that is hidden from the reader.
        """
        if reader and self.predictions.learned_here():
            self.datastore.readings.check_open(image_id, reader)
        return self.predictions.get(image_id)

    def history(self, image_id: str, reader: str = "") -> list[Annotation]:
        """What a reader may see of what was said of an image, newest last."""
        own = self.datastore.readings.of(image_id).of(reader) if reader else None
        said = self.annotations.history(image_id, reader)
        return [_annotation(one, counts, one is own) for one, counts in said]

    def entry(self, said: LogRecord) -> Annotation:
        """Something that was said, as the page shows it."""
        return _annotation(said)

    def lesions(self, image_id: str, said: seeds.Annotation) -> Delineated | None:
        """The lesions of an annotation on record; None of "no tumour"."""
        with self.annotations.opened(self.datastore.image_path(image_id)) as scan:
            return delineated(delineate(scan.volume, said, settings=self.settings, sure=True))

    def _check_reviewable(self, image_id: str) -> None:
        here = self.datastore.readings.of(image_id)
        if here.needed == 1:
            raise InputError("one reader reads a patient here, so there is nothing to review; --conf readers 2 is two")
        if not here.complete:
            raise Conflict(
                f"{len(here.readings)} of {here.needed} readers have read {quoted(image_id)}; review it then"
            )

    def _open_elsewhere(self, holder: str) -> set[str]:
        return self._held.by_others(holder, self._is_done)

    def _is_done(self, image_id: str, holder: str) -> bool:
        """Whether a viewer's reader has read what is held for it; a page says itself what it has open."""
        reader = holder.removeprefix(_VIEWER)
        return holder.startswith(_VIEWER) and self.datastore.readings.of(image_id).of(reader) is not None


def _annotation(said: LogRecord, counts: bool = False, own: bool = False) -> Annotation:
    if isinstance(said, Withdrawal):
        return Annotation(kind="withdrawn", user=said.user, time=said.time)
    if isinstance(said, Remark):
        noted = {"flag": said.flag, "unsure": said.unsure, "comment": said.comment}
        return Annotation.model_validate({"kind": "remark", "user": said.user, "time": said.time, **noted})
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
        own=own,
        review=said.review,
    )


def _request(image_id: str, click: Click, user: str) -> AnnotationRequest:
    lesions = tuple(Place(position=seed.position, contour=seed.contour.choice()) for seed in click.seeds)
    if click.position is not None:
        lesions = (Place(position=click.position),)
    background = tuple(Place(position=position) for position in click.background)
    return AnnotationRequest(image_id, click.cancer_type, user, lesions, background)
