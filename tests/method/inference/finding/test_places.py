from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from wslpet.method.inference.finding.places import MOST, votes_within


@pytest.mark.parametrize(("points", "extent_mm"), [(1, 1.0), (40, 15.0), (600, 90.0)])
def test_votes_are_the_weights_of_all_points_within_the_radius(points, extent_mm):
    rng = np.random.default_rng(3)
    # On a grid, where many pairs are exactly a radius apart, at positions below zero, too.
    mm = np.rint(rng.random((points, 3)) * extent_mm / 3) * 3 - 30
    weight = rng.random(points)
    near = np.linalg.norm(mm[:, None] - mm, axis=-1) <= 6.0
    np.testing.assert_allclose(votes_within(mm, weight, 6.0), near @ weight)


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
