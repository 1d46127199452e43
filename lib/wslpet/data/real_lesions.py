"""Real lesions with readers' masks, and clicks on them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.data.phantom.scenes import simulated_click

CLICKS = 5


@dataclass(frozen=True, eq=False)
class RealLesion:
    """One lesion of one scan.

    Parameters
    ----------
    name : name of the scan, with the lesion's label value if the scan has several lesions.
    group : name of the scan without its number.
    volume : (i, j, k) in SUV.
    truth : (i, j, k) bool, the reader's mask.
    """

    name: str
    group: str
    volume: Volume
    truth: Array

    def clicks(self, number: int = CLICKS) -> Array:
        """Simulate clicks (click, 3), in voxels: the centre with an error of `CLICK_SD_MM` per axis, inside the lesion.

        The clicks depend on the name only.
        """
        seed = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big")
        rng = np.random.default_rng(seed)
        spacing = np.array(self.volume.spacing)
        return np.array([simulated_click(rng, self.truth, spacing) for _ in range(number)])


def real_lesions(folder: Path) -> Iterator[RealLesion]:
    """Yield the lesions of a folder of PET scans in SUV with masks.

    The folder has either `NAME_suv.nii.gz` beside `NAME_mask.nii.gz` (each label value is a lesion), or subfolders with
    one `*image.nii.gz` and one `*mask.nii.gz` each, as the IBSI validation set.

    Raises
    ------
    InputError
        if there is no scan, or a scan has no mask of its shape.
    """
    pairs = [
        (p.name.removesuffix("_suv.nii.gz"), p, Path(str(p).replace("_suv.nii", "_mask.nii")))
        for p in sorted(folder.glob("*_suv.nii.gz"))
    ]
    pairs += [
        (p.parent.name, p, p.with_name(p.name.replace("image", "mask"))) for p in sorted(folder.glob("*/*image.nii.gz"))
    ]
    if not pairs:
        raise InputError(
            f"{folder} has no NAME_suv.nii.gz, and no folder with an *image.nii.gz; give a folder that has"
        )
    for name, scan, mask in pairs:
        yield from _of(name, scan, mask)


def _of(name: str, scan: Path, mask: Path) -> Iterator[RealLesion]:
    if not mask.exists():
        raise InputError(f"{scan.name} has no mask {mask.name} beside it; put it there, or take the scan away")
    image = nib.Nifti1Image.from_filename(scan)
    volume = Volume(_array(scan).astype(np.float32), np.asarray(image.affine), "SUV", name)
    labels = np.rint(_array(mask)).astype(int)
    if labels.shape != volume.shape:
        raise InputError(
            f"{mask.name}: shape {labels.shape} is not that of its scan, {volume.shape}; give its own mask"
        )
    numbers = [int(n) for n in np.unique(labels) if n > 0]
    for number in numbers:
        full = name if len(numbers) == 1 else f"{name}/{number}"
        yield RealLesion(full, re.sub(r"_?\d+$", "", name), volume, labels == number)


def _array(path: Path) -> Array:
    array = np.asanyarray(nib.Nifti1Image.from_filename(path).dataobj)
    return array.reshape([n for n in array.shape if n > 1]) if array.ndim > 3 else array
