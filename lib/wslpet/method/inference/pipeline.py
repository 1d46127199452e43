"""Scan in, lesion out: the only place that knows the whole way (paper Fig. 2 and §3.2)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from wslpet.core.errors import ModelError, SeedError
from wslpet.core.limits import CORES
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.delineation.click_check import Clicked, clicked
from wslpet.method.delineation.contours import Contour
from wslpet.method.inference.localisation import Finding, Lesion, ScaleOutput, findings, lesion_at, select_lesion
from wslpet.method.network.cam import Cams, normalise, view_cam
from wslpet.method.network.checkpoint import Model
from wslpet.method.network.inputs import Batch, Example, collate
from wslpet.method.projection.mip import VIEWS, GridImage, Projection, Views, project, to_grid

# Findings, the contour of the first, and the lesions that it makes.
_Answer = tuple[list[Finding], Contour | None, tuple[Lesion, ...]]

# A confidence that other grids would not change the answer of; chosen on phantoms.
SURE = 0.9


@dataclass(frozen=True, eq=False)
class Result:
    """What is known of one scan.

    Parameters
    ----------
    mask : uint8 label values (i, j, k), in the geometry and orientation of the scan as given.
    cancer_type : the seed's type, or the most probable one.
    type_probabilities : class → probability; empty without a model.
    confidence : share of the 3D map's mass, over all types and places, that lies at the finding; None when a
        seed decided. Low where the CAMs point everywhere (ours).
    findings : the strongest places of the 3D map of `cancer_type`, (position mm RAS, share of its mass); the
        first one became the lesion, the others follow by strength.
    lesions : as in the mask.
    cams : view → (u, z) CAM of `cancer_type` by eq. 1 in cells; empty without a model.
    images : view → the MIP the network saw.
    contour : the lesion of the mask in a window of the scan's RAS voxels; None where there is no lesion.
    doubt : in words, why a click may be on no tumour; empty where there is no doubt.
    slices : of the mask's last axis, those that hold all of it, if known.
    model_version : empty without a model.
    latencies : stage → seconds.
    """

    mask: Volume
    cancer_type: str
    type_probabilities: dict[str, float]
    lesions: tuple[Lesion, ...]
    confidence: float | None = None
    findings: tuple[tuple[tuple[float, float, float], float], ...] = ()
    cams: dict[str, np.ndarray] = field(default_factory=dict)
    images: dict[str, GridImage] = field(default_factory=dict)
    contour: Contour | None = None
    doubt: str = ""
    slices: slice | None = None
    model_version: str = ""
    latencies: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; MTV is metabolic tumour volume in ml, TLG total lesion glycolysis in ml × SUV."""
        return {
            "cancer_type": self.cancer_type,
            "type_probabilities": self.type_probabilities,
            "confidence": self.confidence,
            "findings": [{"position": list(position), "share": share} for position, share in self.findings],
            "lesions": [lesion.to_dict() for lesion in self.lesions],
            "mtv_ml": sum(lesion.volume_ml for lesion in self.lesions),
            "tlg": sum(lesion.tlg for lesion in self.lesions),
            "model_version": self.model_version,
            "latencies": self.latencies,
        }


def segment(
    volume: Volume,
    model: Model | None,
    seed: Seed | None = None,
    settings: Settings | None = None,
    seen: NetworkOutput | None = None,
    checked: bool = True,
    sure: bool = False,
) -> Result:
    """Find the tumour, or delineate the one that a seed points at.

    Parameters
    ----------
    volume : (i, j, k) in SUV, as stored; it is not modified.
    model : may be None when there is a seed, which decides alone.
    seed : decides the place and the type when given.
    settings : says the types when there is no model.
    seen : what `look` makes of the volume and the model, where it is known already.
    checked : whether a seed where nothing stands out is refused; else nothing is delineated there, and the result's
        `doubt` says why.
    sure : whether a seed that is in doubt is followed all the same, as somebody confirms it.

    Raises
    ------
    SeedError
        when the seed lies outside the scan, its type is not configured, or it is on nothing that stands out.
    ModelError
        when there is neither a model nor a seed.
    """
    clock = _Clock()
    settings = model.settings if settings is None and model is not None else settings or Settings()
    ras = volume.to_ras()
    hit = Clicked(None, "")
    if seed is not None:
        hit = _clicked(ras, seed, settings)
        if checked and seed.cancer_type != NO_TUMOUR:
            hit.check(sure)
        clock.lap("lesions")
    elif model is None:
        raise ModelError("there is no trained model yet; click a tumour in each of some patients, then train")
    view = seen
    if view is None and model is not None:
        views = project(ras, model.device.type)
        clock.lap("project")
        view = run_network(views, model)
        clock.lap("network")
    confidence = None
    places: list[Finding] = []
    if seed is not None:
        cancer_type = seed.cancer_type
        label = settings.labels.get(cancer_type, 0)
        contour = hit.contour
        lesions = _lesions(ras, contour, volume, label, cancer_type)
    else:
        assert view is not None
        cancer_type = view.cancer_type
        label = settings.labels.get(cancer_type, 0)
        places, contour, lesions = view.answer(ras, volume, label)
        confidence = view.probabilities[cancer_type] * (places[0].share if places else 1.0)
    clock.lap("lesions")
    mask = _mask(volume, contour, label)
    clock.lap("mask")
    return Result(
        mask,
        cancer_type,
        {} if view is None else view.probabilities,
        lesions,
        confidence,
        tuple((tuple(ras.to_world(np.array(place.index)).tolist()), place.share) for place in places),
        {} if view is None else view.normalised(cancer_type),
        {} if view is None else view.main.images,
        contour,
        hit.doubt,
        _slices(volume, contour),
        "" if model is None else model.version,
        clock.laps,
    )


def check_click(volume: Volume, seed: Seed, settings: Settings, sure: bool = False) -> None:
    """Raise what `segment` would raise of a seed; a scan as stored."""
    if seed.cancer_type != NO_TUMOUR:
        _clicked(volume.to_ras(), seed, settings).check(sure)


def warm_up() -> None:
    """Have compiled ahead what is compiled when it is first called: project and delineate a blob."""
    square = sum((axis - 12.0) ** 2 for axis in np.indices((24, 24, 24)))
    volume = Volume(np.asfortranarray(8 * np.exp(-square / 18), dtype=np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    project(volume)
    lesion_at(volume, np.full(3, 12.0))


def _lesions(ras: Volume, contour: Contour | None, stored: Volume, label: int, cancer_type: str) -> tuple[Lesion, ...]:
    return () if contour is None else (Lesion.of(ras, contour, stored, label, cancer_type),)


def _mask(volume: Volume, contour: Contour | None, label: int) -> Volume:
    """The contour, which is one in RAS, on the volume as stored; first axis fastest, as files have it."""
    mask = np.zeros(volume.shape, dtype=np.uint8, order="F")
    if contour is not None:
        volume.in_ras(mask)[contour.window] = contour.inside * np.uint8(label)
    return volume.with_array(mask, "label")


def _slices(volume: Volume, contour: Contour | None) -> slice:
    """Of the last axis of the volume as stored, those around the contour."""
    if contour is None:
        return slice(0, 0)
    places = np.broadcast_to(np.arange(volume.shape[2]), volume.shape)
    inside = volume.in_ras(places)[contour.window]
    return slice(int(inside.min()), int(inside.max()) + 1)


def _clicked(ras: Volume, seed: Seed, settings: Settings) -> Clicked:
    if seed.cancer_type == NO_TUMOUR:
        return Clicked(None, "")
    if seed.cancer_type not in settings.types:
        raise SeedError(f"cancer type {seed.cancer_type!r} is not one of {', '.join(settings.types)}")
    point = ras.to_index(np.array(seed.position))
    if not ras.contains(point):
        place = [round(p, 1) for p in seed.position]
        raise SeedError(f"{ras.name}: seed at {place} mm RAS lies outside the scan; click inside it")
    return clicked(ras, point, seed)


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """One scan as the network sees it.

    Parameters
    ----------
    projections : view → the MIP that it saw.
    scale_outputs : one for each grid, that which it learned on in the middle.
    probabilities : class → probability.
    """

    projections: dict[str, Projection]
    scale_outputs: list[ScaleOutput]
    probabilities: dict[str, float]
    _answer: list[_Answer] = field(default_factory=list, init=False, repr=False)

    @property
    def main(self) -> ScaleOutput:
        return self.scale_outputs[len(self.scale_outputs) // 2]

    @property
    def cancer_type(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @cached_property
    def findings(self) -> list[Finding]:
        """The strongest places of the most probable type, best first; none of "no tumour"."""
        if self.cancer_type == NO_TUMOUR:
            return []
        return findings(self.scale_outputs, list(self.probabilities).index(self.cancer_type), self.projections)

    def answer(self, ras: Volume, stored: Volume, label: int) -> _Answer:
        """`select_lesion` on the volume that the projections are of, and its measures; computed once."""
        if not self._answer:
            places, contour = select_lesion(ras, self.findings)
            self._answer.append((places, contour, _lesions(ras, contour, stored, label, self.cancer_type)))
        return self._answer[0]

    @property
    def confidence(self) -> float:
        """That of the strongest finding, as `Result` has it of the one that became the lesion."""
        share = self.findings[0].share if self.findings else 1.0
        return self.probabilities[self.cancer_type] * share

    def normalised(self, cancer_type: str) -> dict[str, np.ndarray]:
        if cancer_type not in self.probabilities:  # "no tumour" of a click, where it is not learned
            return {}
        number = list(self.probabilities).index(cancer_type)
        maps = {"coronal": self.main.cams.coronal[0, number], "sagittal": self.main.cams.sagittal[0, number]}
        return {view: normalise(maps[view]).cpu().numpy() for view in VIEWS}


def run_network(views: Views, model: Model) -> NetworkOutput:
    """Show both projections of a scan to the network: on the grid that it learned on, and where that leaves doubt, on
    its neighbours, too."""
    grids = [replace(model.settings, grid_mm=model.settings.grid_mm * zoom) for zoom in model.settings.test_time_scales]
    middle = len(grids) // 2
    with ThreadPoolExecutor(CORES) as pool:
        scale_outputs = _scale_outputs(views, grids[middle : middle + 1], model, pool)
        seen = _network_output(views, scale_outputs, model.settings)
        if len(grids) == 1 or seen.confidence >= SURE:
            return seen
        around = _scale_outputs(views, grids[:middle] + grids[middle + 1 :], model, pool)
    return _network_output(views, around[:middle] + scale_outputs + around[middle:], model.settings)


_switching = threading.Lock()


@contextmanager
def without_cudnn() -> Iterator[None]:
    """cuDNN plans its work anew for each size and in each thread, which takes longer than the work on one scan. Without
    it, what a GPU makes differs from the CPU's by rounding alone. The switch is the process's, so one has it at a time.
    """
    with _switching, torch.backends.cudnn.flags(enabled=False):
        yield


def _scale_outputs(views: Views, grids: list[Settings], model: Model, pool: ThreadPoolExecutor) -> list[ScaleOutput]:
    @torch.inference_mode()
    def seen(job: tuple[Batch, str, Settings]) -> torch.Tensor:
        return view_cam(model.network, *job)

    images = [dict(zip(VIEWS, to_grid(views, grid.grid_mm, pool.map), strict=True)) for grid in grids]
    batches = [_batch(own, grid, model) for own, grid in zip(images, grids, strict=True)]
    jobs = [(batch, view, grid) for batch, grid in zip(batches, grids, strict=True) for view in VIEWS]
    if model.device.type == "cpu":
        maps = pool.map(seen, jobs)
    else:
        with without_cudnn():
            maps = iter([seen(job) for job in jobs])
    cams = [Cams(next(maps), next(maps), grid.grid_mm * grid.stride) for grid in grids]
    return list(map(ScaleOutput, images, cams))


@torch.inference_mode()
def _network_output(views: Views, scale_outputs: list[ScaleOutput], settings: Settings) -> NetworkOutput:
    scores = torch.stack([output.cams.type_scores(settings.pooling)[0] for output in scale_outputs]).mean(dim=0)
    probabilities = dict(zip(settings.classes, scores.softmax(dim=0).tolist(), strict=True))
    return NetworkOutput(dict(zip(VIEWS, views, strict=True)), scale_outputs, probabilities)


def _batch(images: dict[str, GridImage], grid: Settings, model: Model) -> Batch:
    # On a finer grid than was learned on the body is larger, as in training, and so is its depth.
    zoom = np.float32(model.settings.grid_mm / grid.grid_mm)
    channels = {view: np.stack([image.mip, image.depth_mm * zoom]) for view, image in images.items()}
    return collate([Example(channels, None, grid.classes[0]).to(model.device)], grid)


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now
