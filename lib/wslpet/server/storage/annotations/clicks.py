"""Read the clicks of a viewer's request.

OHIF and 3D Slicer send one entry per label name, {"lung": [[i, j, k], ...], "oesophagus": [], "background": []}, with
all points that were placed since the image was opened. The label names are the cancer types. The entry with points
names the type, and each of its points is a lesion, the first one the primary. Points of "background" are places without
a lesion. If the user corrects the type, the viewers send the points of the former type, too; the type in force is then
the one with points that are not recorded yet. A client with a single label, as of MONAI Label's deepgrow models, sends
its points as "foreground", and the type as "label".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wslpet.core.errors import SeedError
from wslpet.core.seeds import BACKGROUND, DEFAULT_CONTOUR, NO_TUMOUR, Annotation, ContourChoice, Seed
from wslpet.core.volume import Volume
from wslpet.server.errors import quoted
from wslpet.server.http.request_models import RESERVED_KEYS

# Most points of one type in a request. Viewers send all points with each request.
MAX_POINTS = 100
# Larger than any index of a scan, and exact as a float.
_LARGEST_INDEX = 1e6

Index = list[float]


@dataclass(frozen=True)
class Clicks:
    """The points of a request, as sent: voxel indices [i, j, k].

    Parameters
    ----------
    cancer_type : type of the lesions.
    lesions : one point per lesion, at least one, the primary first.
    background : points without a lesion.
    contours : the reader's choice of contour for each lesion.
    """

    cancer_type: str
    lesions: tuple[Index, ...]
    background: tuple[Index, ...] = ()
    contours: tuple[ContourChoice, ...] = ()


def clicks_in(
    request: Mapping[str, Any], classes: Collection[str], recorded: Callable[[], Sequence[Annotation]] = tuple
) -> Clicks | None:
    """Read the cancer type and the points of a request; None if it has no points.

    Parameters
    ----------
    request : the options of the request.
    classes : the names that may be clicked: the cancer types, and "no tumour" if it is a class.
    recorded : returns the image's annotations, newest last; called if there are points of two types.

    Raises
    ------
    SeedError
        if there are new points of two types, points of an unknown type, only background points, too many points, a
        point that is not three numbers, or contours that do not fit the points.
    """
    _refuse_other_points(request, classes)
    points = {name: _points(name, request[name]) for name in classes if request.get(name)}
    if request.get("foreground"):
        name = request["label"]
        points[name] = [*points.get(name, ()), *_points("foreground", request["foreground"])]
    background = _points(BACKGROUND, request[BACKGROUND]) if request.get(BACKGROUND) else []
    if len(points) > 1:
        points = _of_the_newer_type(points, recorded())
    if len(points) > 1:
        raise SeedError(
            f"clicks of {len(points)} types ({', '.join(points)}) in one request; a patient has one: "
            "delete the points of the others and click again"
        )
    if background and not points:
        raise SeedError(
            f"the request has background points {quoted(background)}, but no lesion; click on the tumour, too, with "
            f"the label that names its type: {', '.join(classes)}"
        )
    for cancer_type, lesions in points.items():
        if cancer_type == NO_TUMOUR:
            return Clicks(cancer_type, (lesions[-1],))
        contours = _contours(request.get("contour"), len(lesions))
        return Clicks(cancer_type, tuple(lesions), tuple(background), contours)
    return None


def _of_the_newer_type(points: dict[str, list[Index]], recorded: Sequence[Annotation]) -> dict[str, list[Index]]:
    """Keep the types with a point that no annotation has; if there is none, the type that was recorded last."""
    known = {(seed.cancer_type, seed.index) for said in recorded for seed in said.seeds}
    new = {
        name: places
        for name, places in points.items()
        if any((name, tuple(map(float, place))) not in known for place in places)
    }
    order = {said.cancer_type: n for n, said in enumerate(recorded)}
    last = max(points, key=lambda name: order.get(name, -1))
    return new or {last: points[last]}


def place(cancer_type: str, index: Index, volume: Volume, user: str, contour: ContourChoice = DEFAULT_CONTOUR) -> Seed:
    """Convert a point to a seed in mm RAS. Raises SeedError if it is outside the volume."""
    if cancer_type != NO_TUMOUR and not volume.contains(np.array(index)):
        raise SeedError(
            f"click {index} lies outside {volume.name}, whose voxels run from [0, 0, 0] to "
            f"{[n - 1 for n in volume.shape]}; click inside the volume"
        )
    i, j, k = index
    x, y, z = volume.to_world(np.array(index))
    return Seed(cancer_type, (x, y, z), (i, j, k), user, contour=contour)


def _contours(value: Any, lesions: int) -> tuple[ContourChoice, ...]:
    """Read the contour choices: a method's name or an object for all points, or a list with one for each point."""
    if isinstance(value, list):
        if len(value) != lesions:
            raise SeedError(f"{len(value)} contours for {lesions} points; send one for each point, or one for all")
        return tuple(_contour(one) for one in value)
    return (_contour(value),) * lesions


def _contour(value: Any) -> ContourChoice:
    return ContourChoice(value) if isinstance(value, str) else ContourChoice.from_dict(value)


def _points(name: str, value: Any) -> list[Index]:
    if not isinstance(value, list) or not all(isinstance(point, list) for point in value):
        raise SeedError(f"points of {name!r} are {quoted(value)}; send a list of voxel indices: [[i, j, k]]")
    if len(value) > MAX_POINTS:
        raise SeedError(f"{len(value)} points of {name!r} in one request, at most {MAX_POINTS}; delete some of them")
    for point in value:
        if len(point) != 3 or not all(_is_index(v) for v in point):
            raise SeedError(f"point {quoted(point)} of {name!r} is not three voxel indices; click inside the volume")
    return value


def _is_index(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_INDEX


def _refuse_other_points(request: Mapping[str, Any], classes: Collection[str]) -> None:
    label = request.get("label")
    named = isinstance(label, str) and label in classes
    for name in ("points",) if named else ("foreground", "points"):
        if request.get(name):
            raise SeedError(
                f"{name} points {quoted(request[name])} are not used; click on the tumour, "
                f"with the label that names its type: {', '.join(classes)}"
            )
    for name, value in request.items():
        if name not in classes and name not in RESERVED_KEYS and isinstance(value, list) and value:
            raise SeedError(f"unknown cancer type {quoted(name)}; the types here are {', '.join(classes)}")
