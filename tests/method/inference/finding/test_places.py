from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from wslpet.core.volume import Volume
from wslpet.method.inference.finding.maps import ANGLES, LesionMap
from wslpet.method.inference.finding.places import MOST, map_places, votes_within
from wslpet.method.projection.rotated import rotated_mips


@pytest.mark.parametrize(("points", "extent_mm"), [(1, 1.0), (40, 15.0), (600, 90.0)])
def test_votes_are_the_weights_of_all_points_within_the_radius(points, extent_mm):
    rng = np.random.default_rng(3)
    # On a grid, where many pairs are exactly a radius apart, at positions below zero, too.
    mm = np.rint(rng.random((points, 3)) * extent_mm / 3) * 3 - 30
    weight = rng.random(points)
    near = np.linalg.norm(mm[:, None] - mm, axis=-1) <= 6.0
    np.testing.assert_allclose(votes_within(mm, weight, 6.0), near @ weight)


@pytest.mark.parametrize(
    ("probabilities", "is_place"),
    [((0.7,), False), ((0.9,), True), ((0.3, 0.3), False), ((0.3, 0.3, 0.3), True), ((0.1,) * 8, False)],
)
def test_what_few_maps_show_faintly_is_no_place(probabilities, is_place):
    image = np.full((60, 50, 40), 0.5, np.float32)
    image[20:24, 30:33, 10:13] = 9.0
    volume = Volume(image, np.diag([3.0, 3.0, 3.0, 1.0]))
    mips = rotated_mips(volume, ANGLES[: len(probabilities)])
    maps = [LesionMap(mip, p * (mip.mip > 5).astype(np.float32)) for mip, p in zip(mips, probabilities, strict=True)]
    found = map_places(maps, np.array(volume.spacing))
    assert len(found) == is_place
    if is_place:
        assert np.abs(np.array(found[0]) - [21.5, 31, 11]).max() < 2


# Every pixel of a whole-body scan is marked, with 1 GB of memory to look for places.
ALL_IS_MARKED = """
import resource
import numpy as np
from wslpet.core.volume import Volume
from wslpet.method.inference.finding.maps import ANGLES, LesionMap
from wslpet.method.inference.finding.places import map_places
from wslpet.method.projection.rotated import rotated_mips

noise = np.random.default_rng(0).random((128, 128, 534), dtype=np.float32)
volume = Volume(noise, np.diag([4.06, 4.06, 2.0, 1.0]))
maps = [LesionMap(mip, np.full(mip.mip.shape, 0.9, np.float32)) for mip in rotated_mips(volume, ANGLES)]
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
print(len(map_places(maps, np.array(volume.spacing))))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory as Linux does")
def test_maps_that_mark_everything_take_little_memory():
    done = subprocess.run([sys.executable, "-c", ALL_IS_MARKED], capture_output=True, text=True)
    assert done.stdout == f"{MOST}\n", done.stderr[-1000:]
