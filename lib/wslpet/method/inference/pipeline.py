"""The pipeline: find lesions with the network, or delineate them at a seed (paper Fig. 2 and §3.2)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wslpet.core.errors import SeedError
from wslpet.core.seeds import NO_TUMOUR, Annotation, Seed, annotation_of
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour
from wslpet.method.inference.clicked_lesions import ClickedLesions, clicked_lesions
from wslpet.method.inference.finding.candidates import FEATURES
from wslpet.method.inference.finding.places import votes_within
from wslpet.method.inference.finding.probability import load_lesion_probability
from wslpet.method.inference.finding.selection import FoundLesions, found_lesions
from wslpet.method.inference.forward import NetworkOutput, run_network
from wslpet.method.inference.localisation import modes, select_lesion
from wslpet.method.inference.result import Lesion, Result
from wslpet.method.network.checkpoint import Model
from wslpet.method.projection.mip import project

# Findings in a result that became no lesion, and those that did, are so many at least.
SHOWN = 3


def find_lesions(
    volume: Volume, model: Model, output: NetworkOutput | None = None, least_probability: float | None = None
) -> Result:
    """Find all lesions and their cancer type; or none, which is `NO_TUMOUR`.

    Parameters
    ----------
    volume : (i, j, k) in SUV, as stored; it is not modified.
    output : `run_network` of the volume's MIPs and the model, if computed already.
    least_probability : of a candidate, for it to be a lesion; None takes `Settings.least_probability` of the model.

    Raises
    ------
    InputError
        when `least_probability` is not from 0 to 1.
    """
    clock = _Clock()
    settings = model.settings
    if least_probability is not None:
        settings = replace(settings, least_probability=least_probability)
    ras = volume.to_ras()
    output = output or _output(ras, model, clock)
    probability = load_lesion_probability(FEATURES)
    calibrated = model.version == probability.model_version
    found = found_lesions(
        output.candidates(ras), probability, settings.least_probability, output.confidence, calibrated
    )
    cancer_type = output.tumour_type if found.lesions else NO_TUMOUR
    label = settings.labels.get(cancer_type, 0)
    lesions = tuple(
        Lesion.from_contour(ras, one.contour, volume, label, cancer_type, n, probability=p)
        for n, (one, p) in enumerate(found.lesions, start=1)
    )
    clock.lap("lesions")
    contours = tuple(one.contour for one, _ in found.lesions)
    result = _result(volume, contours, label, cancer_type, lesions, output, model, clock)
    return replace(
        result,
        lesion_probability=found.patient,
        confidence=_confidence(output, found),
        findings=tuple(
            (tuple(ras.to_world(np.array(index)).tolist()), share) for index, share in _shown(output, found)
        ),
    )


def find_primary(volume: Volume, model: Model, output: NetworkOutput | None = None) -> Result:
    """Find the one lesion that the CAMs point at: the paper's method alone (§3.2), without the segmenter.

    Parameters are those of `find_lesions`.
    """
    clock = _Clock()
    ras = volume.to_ras()
    output = output or _output(ras, model, clock)
    cancer_type = output.cancer_type
    label = model.settings.labels.get(cancer_type, 0)
    places, contour = select_lesion(ras, output.findings)
    contours = () if contour is None else (contour,)
    lesions = tuple(Lesion.from_contour(ras, one, volume, label, cancer_type) for one in contours)
    clock.lap("lesions")
    return replace(
        _result(volume, contours, label, cancer_type, lesions, output, model, clock),
        confidence=output.probabilities[cancer_type] * (places[0].share if places else 1.0),
        findings=tuple((tuple(ras.to_world(np.array(one.index)).tolist()), one.share) for one in places[:SHOWN]),
    )


def _confidence(output: NetworkOutput, found: FoundLesions) -> float:
    if not found.lesions:
        return 1.0 - found.patient
    return output.probabilities[output.tumour_type] * found.lesions[0][0].share


def _shown(output: NetworkOutput, found: FoundLesions) -> list[tuple[tuple[float, float, float], float]]:
    """The lesions' places, then those of the CAMs that became none; `SHOWN` at least, if there are so many."""
    shown = [(one.index, one.share) for one, _ in found.lesions]
    others = [(place.index, place.share) for place in output.findings]
    return shown + [place for place in others if place not in shown][: max(SHOWN - len(shown), 0)]


def delineate(
    volume: Volume,
    seeds: Annotation | Seed | Sequence[Seed],
    model: Model | None = None,
    settings: Settings | None = None,
    output: NetworkOutput | None = None,
    *,
    checked: bool = True,
    sure: bool = False,
) -> Result:
    """Delineate the lesions at seeds, which give their locations and the cancer type.

    Parameters
    ----------
    volume : (i, j, k) in SUV, as stored; it is not modified.
    seeds : one, or one for each lesion, the primary first. Two in one lesion are one lesion; seeds of type
        `BACKGROUND` cut off what belongs to them.
    model : adds its CAMs and class probabilities to the result; may be None.
    settings : gives the cancer types when there is no model.
    output : `run_network` of the volume's MIPs and the model, if computed already.
    checked : whether a seed without a lesion is refused; else the result is empty, and its `doubt` says why.
    sure : whether a doubtful seed is delineated anyway, since the annotator confirmed it.

    Raises
    ------
    SeedError
        when a seed lies outside the scan, its type is not configured, or there is no lesion at it.
    """
    clock = _Clock()
    settings = settings or (model.settings if model is not None else Settings())
    ras = volume.to_ras()
    annotation = annotation_of(seeds)
    found = _clicked(ras, annotation, settings, checked, sure)
    cancer_type, label = annotation.cancer_type, settings.labels.get(annotation.cancer_type, 0)
    lesions = tuple(
        Lesion.from_contour(ras, contour, volume, label, cancer_type, n, choice, own)
        for n, (contour, choice, own) in enumerate(zip(found.contours, found.choices, found.seeds, strict=True), 1)
    )
    clock.lap("lesions")
    if output is None and model is not None:
        output = _output(ras, model, clock)
    result = _result(volume, found.contours, label, cancer_type, lesions, output, model, clock)
    return replace(result, doubts=found.doubts)


def check_click(
    volume: Volume, seeds: Annotation | Seed | Sequence[Seed], settings: Settings, sure: bool = False
) -> None:
    """Raise the SeedError that `delineate` would raise for seeds; the scan is as stored."""
    _clicked(volume.to_ras(), annotation_of(seeds), settings, True, sure)


def warm_up() -> None:
    """Compile the numba functions before their first use, by projecting and delineating two synthetic lesions.

    One fills its scan and one does not: of the loops over a window, contiguous and strided arrays are two variants.
    """
    for shape, place in (((24, 24, 24), 12), ((40, 36, 48), 16)):
        square = sum((axis - place) ** 2 for axis in np.indices(shape))
        image = np.asfortranarray(1 + 8 * np.exp(-square / 18), dtype=np.float32)
        volume = Volume(image if place != 12 else image - 1, np.diag([4.0, 4.0, 4.0, 1.0]))
        project(volume)
        delineate(volume, Seed("lung", (4.0 * place,) * 3), sure=True)
    modes(np.zeros((2, 3), np.int64), np.zeros(2), np.ones(3))
    votes_within(np.zeros((1, 3)), np.ones(1), 1.0)


def _output(ras: Volume, model: Model, clock: _Clock) -> NetworkOutput:
    views = project(ras, model.device.type)
    clock.lap("project")
    output = run_network(views, model)
    clock.lap("network")
    return output


def _result(
    volume: Volume,
    contours: tuple[Contour, ...],
    label: int,
    cancer_type: str,
    lesions: tuple[Lesion, ...],
    output: NetworkOutput | None,
    model: Model | None,
    clock: _Clock,
) -> Result:
    mask = _mask(volume, contours, label)
    clock.lap("mask")
    return Result(
        mask=mask,
        cancer_type=cancer_type,
        type_probabilities={} if output is None else output.probabilities,
        lesions=lesions,
        cams={} if output is None else output.normalised(cancer_type if lesions else output.cancer_type),
        images={} if output is None else output.main.images,
        contours=contours,
        slices=_slices(volume, contours),
        model_version="" if model is None else model.version,
        latencies=clock.laps,
    )


def _mask(volume: Volume, contours: tuple[Contour, ...], label: int) -> Volume:
    """Mask of RAS contours on the grid of the volume as stored, in Fortran order as in files."""
    mask = np.zeros(volume.shape, dtype=np.uint8, order="F")
    ras = volume.in_ras(mask)
    for contour in contours:
        ras[contour.window][contour.inside] = label
    return volume.with_array(mask, "label")


def _slices(volume: Volume, contours: tuple[Contour, ...]) -> slice:
    """Slices along the last axis of the volume as stored that contain the contours."""
    if not contours:
        return slice(0, 0)
    places = volume.in_ras(np.broadcast_to(np.arange(volume.shape[2]), volume.shape))
    ends = [(places[c.window].min(), places[c.window].max()) for c in contours]
    return slice(int(min(low for low, _ in ends)), int(max(high for _, high in ends)) + 1)


def _clicked(ras: Volume, annotation: Annotation, settings: Settings, checked: bool, sure: bool) -> ClickedLesions:
    if annotation.cancer_type == NO_TUMOUR:
        return ClickedLesions((), (), ("",), ())
    if annotation.cancer_type not in settings.types:
        raise SeedError(f"cancer type {annotation.cancer_type!r} is not one of {', '.join(settings.types)}")
    for seed in (*annotation.seeds, *annotation.background):
        if not ras.contains(ras.to_index(np.array(seed.position))):
            place = [round(p, 1) for p in seed.position]
            raise SeedError(f"{ras.name}: seed at {place} mm RAS lies outside the scan; click inside it")
    return clicked_lesions(ras, annotation, checked, sure)


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now
