"""Compare a server's masks over HTTP with the library's own, voxel by voxel: `python -m benchmarks.end_to_end.masks`.

For each phantom, both without a click and with one. Everything between the library and a viewer may make them differ:
the settings that the server starts with, caches, conversions of the click, orientation, and the mask's file.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import wslpet
from benchmarks.common.cohorts import COHORT_SEEDS, Case, drawn, stage
from benchmarks.common.server import Server
from wslpet.core.volume import Volume

# A NIfTI file stores its affine as float32.
AFFINE_MM = 1e-3


def main() -> int:
    """Print a line for each preset and for each mask that differs. Returns 1 if one does, else 0."""
    parser = argparse.ArgumentParser("python -m benchmarks.end_to_end.masks", description=__doc__.split("\n")[0])
    parser.add_argument("--presets", nargs="+", choices=COHORT_SEEDS, default=["plain", "hard"])
    parser.add_argument("--patients", type=int, default=20, help="of each preset; default: 20")
    parser.add_argument("--out", type=Path, default=Path("work/e2e"), help="where the phantoms are kept")
    args = parser.parse_args()
    differing = 0
    for preset in args.presets:
        folder = args.out / preset
        differences = list(compared(drawn(folder, preset, args.patients), folder))
        wrong = [text for text in differences if text]
        print(f"{preset}: {len(differences) - len(wrong)} of {len(differences)} masks equal", *wrong, sep="\n  ")
        differing += len(wrong)
    return 1 if differing else 0


def compared(cases: Sequence[Case], folder: Path) -> Iterator[str]:
    """For each patient, yield how the mask without a click differs, and that with a click; "" if it does not."""
    scratch = folder / "scratch" / "masks"
    shutil.rmtree(scratch, ignore_errors=True)
    studies = stage(cases, folder / "masks")
    model = wslpet.load_model()
    with Server(studies, scratch, {"model_dir": str((scratch / "model").resolve())}) as server:
        for case in cases:
            volume = wslpet.read_scan(case.scan)
            seed = wslpet.Seed(case.cancer_type, case.position, case.index)
            found = server.infer(case.name).mask, wslpet.find_lesions(volume, model).mask
            yield difference(f"{case.name}, no click", *found)
            clicked = server.click(case.name, case.cancer_type, case.index).mask, wslpet.delineate(volume, seed).mask
            yield difference(f"{case.name}, a click", *clicked)


def difference(name: str, served: Volume, expected: Volume) -> str:
    """Describe how a mask differs from the expected one; "" if it does not."""
    if served.shape != expected.shape or not np.allclose(served.affine, expected.affine, atol=AFFINE_MM):
        return f"{name}: the server's geometry is {served.shape}, {served.affine.tolist()}"
    unlike = int((served.array != expected.array).sum())
    return f"{name}: {unlike} voxels differ; the lesions have {np.count_nonzero(expected.array)}" if unlike else ""


if __name__ == "__main__":
    sys.exit(main())
