"""CAM networks on one view: CAMs alone, the paper's, ours with the distance loss, and the shipped weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings, settings_from
from wslpet.data.mip_cohort import MipPerson
from wslpet.method.network.cam import batch_cams, normalise
from wslpet.method.network.checkpoint import Model, load_model, new_network
from wslpet.method.network.inputs import Example, collate
from wslpet.method.projection.mip import BODY_MARGIN_MM, BODY_SUV, linear_filter
from wslpet.method.segmentation.targets import ClickContour, click_contour
from wslpet.method.training.trainer import EpochReport, train
from wslpet.study.mips.cohort import Cohort
from wslpet.study.mips.judging import Prediction
from wslpet.study.mips.systems.case import Case

# The second view is empty: this many columns of SUV 0.
EMPTY_COLUMNS = 8
UNGUARDED = ClickContour(guard=None)


@dataclass(frozen=True, eq=False)
class GridMip:
    """Coronal MIP on the CAM network's grid: (u, z) SUV, and its first pixel on the uncropped grid."""

    pixels: Array
    origin: tuple[int, int]


def grid_mip(person: MipPerson, settings: Settings) -> GridMip:
    """Resample a MIP to the network's grid, cropped to the body."""
    spacing = person.image.spacing[::-1]
    pixels = person.image.pixels.T[::-1, ::-1]  # (x to the right, z up)
    for axis in (0, 1):
        weights = linear_filter(pixels.shape[axis], spacing[axis] / settings.grid_mm)
        pixels = np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis)
    window, margin = [], round(BODY_MARGIN_MM / settings.grid_mm)
    for axis in (0, 1):
        body = np.flatnonzero((pixels >= BODY_SUV).sum(axis=1 - axis) >= 3)
        window.append(slice(max(0, int(body[0]) - margin), int(body[-1]) + 1 + margin) if len(body) else slice(None))
    origin = (window[0].start or 0, window[1].start or 0)
    return GridMip(np.ascontiguousarray(pixels[tuple(window)]), origin)


def example(person: MipPerson, settings: Settings) -> Example:
    """A person as the CAM network learns it: the coronal MIP with the click on it, an empty sagittal one, no depth."""
    mip = grid_mip(person, settings)
    images: dict[str, Array] = {
        "coronal": np.stack([mip.pixels, np.zeros_like(mip.pixels)]).astype(np.float32),
        "sagittal": np.zeros((2, EMPTY_COLUMNS, mip.pixels.shape[1]), dtype=np.float32),
    }
    points = None
    if person.click is not None:
        row, column = person.click
        rows, columns = person.image.pixels.shape
        stored = np.array([columns - 1 - column, rows - 1 - row])
        u, z = (stored + 0.5) * person.image.spacing[::-1] / settings.grid_mm - 0.5 - mip.origin
        points = {"coronal": (float(u), float(z)), "sagittal": (EMPTY_COLUMNS / 2, float(z))}
    return Example(images, points, person.cancer_type or NO_TUMOUR, person.name)


def distance_settings(types: tuple[str, ...], epochs: int, seed: int = 0) -> Settings:
    """The CAM network with our settings and the distance loss."""
    return settings_from(types=types, no_tumour=True, epochs=epochs, patience=epochs, random_seed=seed)


def paper_settings(types: tuple[str, ...], epochs: int, seed: int = 0) -> Settings:
    """The CAM network as the paper has it: preset `paper`, which knows patients only."""
    return settings_from("paper", types=types, epochs=epochs, patience=epochs, random_seed=seed)


def alone_settings(types: tuple[str, ...], epochs: int, seed: int = 0) -> Settings:
    """CAMs alone: no distance loss, global average pooling as CAMs are defined with; lesion-free people are a class."""
    return settings_from(
        types=types,
        no_tumour=True,
        distance="off",
        pooling="average",
        epochs=epochs,
        patience=epochs,
        random_seed=seed,
    )


def shipped_start_settings(types: tuple[str, ...], epochs: int, seed: int = 0) -> Settings:
    """CAMs alone from the shipped weights: no distance loss, and the settings that these were trained with."""
    return settings_from(types=types, no_tumour=True, distance="off", epochs=epochs, patience=epochs, random_seed=seed)


SETTINGS: dict[str, Callable[[tuple[str, ...], int, int], Settings]] = {
    "cam_distance": distance_settings,
    "paper": paper_settings,
    "cams": alone_settings,
    "cams_shipped": shipped_start_settings,
}


def shipped_start(settings: Settings) -> Model:
    """The shipped weights, but for the last layer, which has a map for each class and is as in a new network."""
    network = new_network(settings)
    new, shipped = network.state_dict(), load_model().network.state_dict()
    known = {name: tensor for name, tensor in shipped.items() if tensor.shape == new[name].shape}
    network.load_state_dict({**new, **known})
    return Model(network, settings)


def learn_cams(
    cohort: Cohort, numbers: Sequence[int], settings: Settings, what: str = "", initial: Model | None = None
) -> Model:
    """Train a CAM network on the types of some people and, with the distance loss, their clicks.

    initial : weights to start from; None starts from scratch.
    """

    def show(epoch: EpochReport) -> bool:
        if what and (epoch.best or epoch.epoch == epoch.total_epochs):
            print(
                f"  {what}: epoch {epoch.epoch}/{epoch.total_epochs}, loss {epoch.loss:.3f}, "
                f"validation {epoch.val_loss:.3f}, type {epoch.type_accuracy:.0%}",
                flush=True,
            )
        return False

    examples = [example(cohort.people[k], settings) for k in numbers]
    return train(examples, settings, initial, report=show, judging=0.0).model


def predict_network(case: Case) -> list[Prediction]:
    """Learn, and predict with the map of the likeliest type."""
    return predict_cams(case.test, case.numbers, cam_model(case, case.system), True)


def predict_told(case: Case) -> list[Prediction]:
    """CAMs alone with the map of the true type, whether the network tells it or not."""
    return predict_cams(case.test, case.numbers, cam_model(case, "cams"), False, told=True)


def predict_shipped_cam(case: Case) -> list[Prediction]:
    """The shipped CAM network as it is."""
    return predict_cams(case.test, case.numbers, load_model(), False)


def cam_model(case: Case, system: str) -> Model:
    """The CAM network of a system of `SETTINGS`, learned for a case."""
    effort = case.effort
    epochs = {"paper": effort.paper_epochs, "cams": effort.cam_epochs}.get(system, effort.epochs)
    settings = SETTINGS[system](case.cohort.types, epochs, effort.seed)
    known = [k for k in case.learn_from if settings.no_tumour or case.cohort.ill[k]]
    return _learned(case.cohort, tuple(known), settings, system)


@lru_cache(maxsize=1)  # CAMs alone, with and without the type, and CAMs & FCNs share a network in each fold
def _learned(cohort: Cohort, learn_from: tuple[int, ...], settings: Settings, system: str) -> Model:
    initial = shipped_start(settings) if system == "cams_shipped" else None
    return learn_cams(cohort, learn_from, settings, system, initial)


def predict_cams(
    cohort: Cohort, numbers: Sequence[int], model: Model, name_types: bool, told: bool = False
) -> list[Prediction]:
    """The contour at the strongest place of a map: that of the likeliest type, or of the true one, where it is told."""
    return [_prediction(cohort.people[k], model, name_types, told) for k in numbers]


@torch.inference_mode()
def _prediction(person: MipPerson, model: Model, name_types: bool, told: bool) -> Prediction:
    settings = model.settings
    unlabelled = example(person, settings)
    batch = collate([Example(unlabelled.images, None, settings.classes[-1]).to("cpu")], settings)
    cams = batch_cams(model.network, batch, settings)
    scores = cams.type_scores(settings.pooling)[0]
    tumour = scores[: len(settings.types)]
    best = int(tumour.argmax())
    if told and person.cancer_type is not None:
        best = settings.types.index(person.cancer_type)
    score = float(tumour.logsumexp(0) - (scores[-1] if settings.no_tumour else 0))
    strength = at_pixels(normalise(cams.coronal[0, best]).numpy(), person, settings, settings.stride)
    strength = strength * person.image.pixels
    place = np.array(np.unravel_index(strength.argmax(), strength.shape), dtype=float)
    mask = click_contour(person.image.pixels, person.image.pixels, place, UNGUARDED)
    probability = float(1 - scores.softmax(0)[-1]) if settings.no_tumour else None
    return Prediction(strength, mask, score, settings.types[best] if name_types else None, probability)


def at_pixels(values: Array, person: MipPerson, settings: Settings, stride: int) -> Array:
    """Interpolate (u, z) cells of `stride` pixels of the network's grid at (row, column) of the image."""
    rows, columns = person.image.pixels.shape
    origin = grid_mip(person, settings).origin
    cells = []
    for count, spacing, start in zip((columns, rows), person.image.spacing[::-1], origin, strict=True):
        grid = (np.arange(count)[::-1] + 0.5) * spacing / settings.grid_mm - 0.5 - start
        cells.append((grid + 0.5) / stride - 0.5)
    at = np.meshgrid(cells[0], cells[1], indexing="xy")
    found: Array = ndimage.map_coordinates(values, [at[0], at[1]], order=1, mode="constant")
    return found
