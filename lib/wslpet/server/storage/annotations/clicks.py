"""A viewer's request → the click in it.

OHIF and Slicer send one entry per label name, {"lung": [[i, j, k], ...], "oesophagus": [], "background": []},
with every point placed since the image was opened. The labels are the cancer types, so the entry that is not empty is
the type, and its last point, the newest click, is the seed. Older points of that type are superseded. When a type is
corrected the viewers go on sending the points of the first one; what is on record already is not the newest click.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from wslpet.core.errors import SeedError
from wslpet.core.seeds import NO_TUMOUR, Annotation, Seed
from wslpet.core.volume import Volume
from wslpet.server.errors import quoted
from wslpet.server.http.request_models import RESERVED_KEYS

# A person places a handful; viewers send all of them each time.
MAX_POINTS = 100
# Beyond any scan, and still exact in a float.
_LARGEST_INDEX = 1e6

Click = tuple[str, list[float]]


def newest_click(
    request: Mapping[str, Any], classes: Collection[str], recorded: Callable[[], Sequence[Annotation]] = tuple
) -> Click | None:
    """The cancer type and voxel index [i, j, k], as sent, of the newest click; None when there is none.

    Parameters
    ----------
    classes : the names that may be clicked: the cancer types, and "no tumour" where it is learned.
    recorded : says the image's seeds, newest last; asked when there are points of two types.

    Raises
    ------
    SeedError
        for new points of two types, points of an unknown type, of the background, too many points, or a point
        that is not three numbers.
    """
    _refuse_other_points(request, classes)
    newest = {name: _points(name, request[name])[-1] for name in classes if request.get(name)}
    if len(newest) > 1:
        newest = _not_superseded(newest, recorded())
    if len(newest) > 1:
        raise SeedError(
            f"clicks of {len(newest)} types ({', '.join(newest)}) in one request; a patient has one: "
            "delete the points of the others and click again"
        )
    return next(iter(newest.items()), None)


def _not_superseded(newest: dict[str, list[float]], recorded: Sequence[Annotation]) -> dict[str, list[float]]:
    """Of the last point of each type, those that no seed records; where all are, the one recorded last."""
    when = {(seed.cancer_type, seed.index): n for n, seed in enumerate(recorded)}
    order = {name: when.get((name, (i, j, k)), -1) for name, (i, j, k) in newest.items()}
    new = {name: newest[name] for name, n in order.items() if n < 0}
    last = max(newest, key=order.__getitem__)
    return new or {last: newest[last]}


def place(click: Click, volume: Volume, user: str) -> Seed:
    """The click as a seed in mm RAS; raises SeedError when it lies outside the volume."""
    cancer_type, index = click
    if cancer_type != NO_TUMOUR and not volume.contains(np.array(index)):
        raise SeedError(
            f"click {index} lies outside {volume.name}, whose voxels run from [0, 0, 0] to "
            f"{[n - 1 for n in volume.shape]}; click inside the volume"
        )
    i, j, k = index
    x, y, z = volume.to_world(np.array(index))
    return Seed(cancer_type, (x, y, z), (i, j, k), user)


def _points(name: str, value: Any) -> list[list[float]]:
    if not isinstance(value, list) or not all(isinstance(point, list) for point in value):
        raise SeedError(f"points of {name!r} are {quoted(value)}; send a list of voxel indices: [[i, j, k]]")
    if len(value) > MAX_POINTS:
        raise SeedError(f"{len(value)} points of {name!r} in one request, at most {MAX_POINTS}; one click is enough")
    for point in value:
        if len(point) != 3 or not all(_is_index(v) for v in point):
            raise SeedError(f"point {quoted(point)} of {name!r} is not three voxel indices; click inside the volume")
    return value


def _is_index(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_INDEX


def _refuse_other_points(request: Mapping[str, Any], classes: Collection[str]) -> None:
    for name in ("background", "foreground", "points"):
        if request.get(name):
            raise SeedError(
                f"{name} points {quoted(request[name])} are not used; click once on the tumour, "
                f"with the label that names its type: {', '.join(classes)}"
            )
    for name, value in request.items():
        if name not in classes and name not in RESERVED_KEYS and isinstance(value, list) and value:
            raise SeedError(f"unknown cancer type {quoted(name)}; the types here are {', '.join(classes)}")
