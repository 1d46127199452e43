"""Inference tasks: `wslpet` finds the tumour with the network, `wslpet_seed` delineates the lesions at clicks.

Clicks are passed to the annotation service. Requests run in threads of the server. Their number at the same time is
limited by the number of processors, and by the memory for their volumes.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from wslpet.analysis.radiomics import radiomics
from wslpet.core.errors import InputError, ModelError, SeedError
from wslpet.core.seeds import BACKGROUND, CONTOUR_METHODS, DEFAULT_CONTOUR, Annotation
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.io.masks import mask_content, write_mask
from wslpet.method.inference.pipeline import delineate, find_lesions
from wslpet.method.inference.result import Result
from wslpet.server.errors import quoted
from wslpet.server.http.fifo_semaphore import processors
from wslpet.server.storage.annotations.clicks import Clicks, clicks_in
from wslpet.server.storage.annotations.requests import AnnotationRequest, Place
from wslpet.server.storage.annotations.service import AnnotationService, OpenScan
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.tasks.active_model import ActiveModel

logger = logging.getLogger(__name__)

EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".mha")
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class _Made:
    """The lesions of a scan, the features if they were requested, and the seconds that reading the scan took."""

    result: Result
    features: dict[str, float | None] | None
    read_seconds: float


class FindTumour(InferTask):
    """Automatic segmentation by the network, without a click."""

    def __init__(self, datastore: SeededDatastore, weights: ActiveModel, settings: Settings) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=settings.labels,
            dimension=3,
            description="Finds the tumour in whole-body FDG PET (SUV) and names its cancer type",
        )
        self._datastore = datastore
        self._weights = weights
        self._settings = settings
        self._annotations = AnnotationService(datastore, settings)

    def is_valid(self) -> bool:
        return True

    def get_path(self, validate: bool = True) -> str | None:
        """Path of the weights in use, for MONAI Label's model download."""
        path = self._weights.path()
        return str(path) if path else None

    def __call__(self, request: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Segment one image.

        Parameters
        ----------
        request : "image_path" of the scan, and "image_id" unless it is the image of a session. In a click request,
            points by type and "contour", see `clicks.clicks_in`. "result_extension", one of `EXTENSIONS`;
            "result_write_to_file"; "result_compress" (.nrrd, .mha); "lesion_labels": true for the lesions' numbers as
            values of the mask, instead of the type's label value; "least_probability": least probability of a
            candidate for it to be a lesion, instead of the setting; "radiomics": true for all features in the answer.

        Returns
        -------
        the mask's file, in the geometry of the image as stored, or None if it is not requested; and the JSON result.

        Raises
        ------
        InputError
            naming what cannot be used; nothing is recorded.
        """
        return self._answered(request, _written)

    def content(self, request: Mapping[str, Any]) -> tuple[bytes | None, dict[str, Any]]:
        """As `__call__`, but with the content of the mask's file instead of a file."""
        return self._answered(request, _content)

    def _answered(
        self, request: Mapping[str, Any], kept: Callable[[Volume, str, bool, slice | None], Kept]
    ) -> tuple[Kept | None, dict[str, Any]]:
        start = time.monotonic()
        extension = extension_of(request)
        clicks = clicks_in(request, self._settings.classes, lambda: self._recorded(request))
        self._check(clicks)
        with processors:
            made = self._found(request) if clicks is None else self._clicked(request, clicks)
            writing = time.monotonic()
            mask = None
            if request.get("result_write_to_file", True) is not False:
                volume = made.result.lesion_mask() if request.get("lesion_labels") is True else made.result.mask
                compress = request.get("result_compress", True) is not False
                mask = kept(volume, extension, compress, made.result.slices)
        seconds = {"read": made.read_seconds, "write": time.monotonic() - writing, "total": time.monotonic() - start}
        answer = self._answer(made.result, seconds)
        answer["notes"] = self._notes(request)
        return mask, answer if made.features is None else {**answer, "radiomics": made.features}

    def _found(self, request: Mapping[str, Any]) -> _Made:
        if request.get("image_id") is not None and "user" in request and self._weights.learned_here():
            self._datastore.readings.check_open(request["image_id"], str(request["user"]))
        with self._annotations.opened(Path(request["image_path"])) as scan:
            return self._made(request, scan, None)

    def _clicked(self, request: Mapping[str, Any], clicks: Clicks) -> _Made:
        contours = clicks.contours or (DEFAULT_CONTOUR,) * len(clicks.lesions)
        asked = AnnotationRequest(
            request.get("image_id"),
            clicks.cancer_type,
            str(request.get("user") or "unknown"),
            tuple(Place(index, contour=contour) for index, contour in zip(clicks.lesions, contours, strict=True)),
            tuple(Place(index) for index in clicks.background),
            path=Path(request["image_path"]),
        )
        made = self._annotations.annotate(asked, partial(self._made, request)).answer
        assert made is not None
        return made

    def _made(self, request: Mapping[str, Any], scan: OpenScan, said: Annotation | None) -> _Made:
        result = self._segment(Path(request["image_path"]), scan.volume, said, request.get("least_probability"))
        features = _features(scan.volume, result) if request.get("radiomics") is True else None
        return _Made(result, features, scan.read_seconds)

    def _check(self, clicks: Clicks | None) -> None:
        if clicks is not None:
            raise SeedError("the task wslpet takes no clicks; send them to wslpet_seed")

    def _recorded(self, request: Mapping[str, Any]) -> list[Annotation]:
        image_id = request.get("image_id")
        if image_id is None:
            return []
        return self._datastore.readings.known_before(image_id, str(request.get("user") or "unknown"))

    def _notes(self, request: Mapping[str, Any]) -> list[str]:
        """Notes on what was inferred for SUV; none for the image of a session, which is a file in SUV."""
        image_id = request.get("image_id")
        return [] if image_id is None else self._datastore.notes(image_id)

    def _segment(self, image: Path, volume: Volume, said: Annotation | None, least: float | None) -> Result:
        model = None
        try:
            model = self._weights.current()
        except ModelError as error:
            if said is None:
                raise
            logger.error("delineated without weights: %s", error)
        if model is None and said is None:
            raise ModelError(
                "no weights yet for these cancer types: click one tumour per patient with wslpet_seed, then train "
                "wslpet; clicks are delineated without weights"
            )
        start = time.monotonic()
        output = None if model is None else self._datastore.scans.network_output(image, model)
        seconds = time.monotonic() - start
        if said is not None:
            result = delineate(volume, said, model, self._settings if model is None else None, output)
        else:
            assert model is not None
            result = find_lesions(volume, model, output, self._settings.least_probability if least is None else least)
        result.latencies["network"] = seconds
        return result

    def _answer(self, result: Result, seconds: dict[str, float]) -> dict[str, Any]:
        answer = result.to_dict()
        answer["label_names"] = self._settings.labels
        answer["latencies"] = {name: round(s, 4) for name, s in {**answer["latencies"], **seconds}.items()}
        # For OHIF: one centroid per type, that of its first lesion.
        answer["centroids"] = {
            lesion["cancer_type"]: [str(round(v)) for v in lesion["centroid"]["index"]]
            for lesion in reversed(answer["lesions"])
        }
        return answer


class DelineateClick(FindTumour):
    """Delineation at clicks with a cancer type, which are recorded as an annotation: one click per lesion.

    The task has MONAI Label's type "deepedit", for which OHIF and 3D Slicer send the points by label name. The labels
    are the cancer types, so that a click carries the type, too. "background" is also a label: without it, Slicer
    sends no background points.
    """

    def __init__(self, datastore: SeededDatastore, weights: ActiveModel, settings: Settings) -> None:
        super().__init__(datastore, weights, settings)
        self.type = InferType.DEEPEDIT
        self.labels = {name: value for value, name in enumerate((*settings.classes, BACKGROUND), start=1)}
        self.description = "Click once on each lesion with its cancer type: delineates them and learns from the first"

    def config(self) -> dict[str, Any]:
        """Options that viewers show in a drop-down list."""
        return {"contour": list(CONTOUR_METHODS)}

    def _check(self, clicks: Clicks | None) -> None:
        if clicks is None:
            raise SeedError(
                f"no click in the request; click once on the tumour, with the label that names its type: "
                f"{', '.join(self._settings.classes)}"
            )


def extension_of(request: Mapping[str, Any]) -> str:
    """Return the requested ending of the mask's file. Raises InputError if it is not one of `EXTENSIONS`."""
    extension = request.get("result_extension") or ".nii.gz"
    if extension not in EXTENSIONS:
        raise InputError(f"result_extension {quoted(extension)} is not one of {', '.join(EXTENSIONS)}")
    return str(extension)


def _features(volume: Volume, result: Result) -> dict[str, float | None]:
    """Name of a feature → value, or None if it is not defined; empty without a lesion."""
    inside = result.mask.array > 0
    if not inside.any():
        return {}
    values = radiomics(volume, inside, strict=False)
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _content(mask: Volume, extension: str, compress: bool, slices: slice | None) -> bytes:
    return mask_content(mask, extension, compress, slices)


def _written(mask: Volume, extension: str, compress: bool, slices: slice | None) -> str:
    handle, name = tempfile.mkstemp(prefix="wslpet-", suffix=extension)
    os.close(handle)
    try:
        write_mask(mask, name, compress)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return name
