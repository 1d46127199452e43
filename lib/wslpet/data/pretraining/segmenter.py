"""Train the shipped segmenter on lifelike phantoms with their masks (python -m wslpet.data.pretraining.segmenter)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from wslpet.core.arrays import Array, BoolArray
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, Patient, make_patient
from wslpet.data.phantom.patient import plan_scan
from wslpet.method.normal.frame import BodyFrame
from wslpet.method.normal.reference import MipImage, Reference, display_images, load_reference
from wslpet.method.projection.mip import project
from wslpet.method.segmentation.batches import Augmentation, TrainingSet
from wslpet.method.segmentation.model import SegmenterSettings, save_segmenter
from wslpet.method.segmentation.training import SegmenterTraining, train_segmenter
from wslpet.method.shipped import SHIPPED_SEGMENTER

PRESET = "lifelike"
# Tests and measurements use seeds below; those of the CAM network's phantoms lie below, too.
FIRST_SEED = 500_000
TYPES = ("lung", "oesophagus", "lymphoma", "melanoma")
# A phantom of 4 mm voxels takes a second of one core, one of a scanner's own voxels four.
VOXEL_MM = (4.07, 4.07, 4.0)
# Height of the centre of the lungs in the reference body, mm above the symphysis.
LUNGS_Z = 465.0
# A lesion's pixel is hidden, and unknown to the training, where something else along the ray is hotter.
OWN_SHARE = 0.999
# Phantoms that are fitted to the reference to learn where it puts a known body, and how the fits err about their
# median: SD of the shift (mm) and of the logarithm of the scale. The rest are placed by what is known of them.
FITTED = 15
SHIFT_MM, LOG_SCALE = 7.0, 0.03
PEOPLE = 428
SETTINGS = SegmenterSettings(TYPES, (16, 32, 64, 96))
# A display saturates at an SUV of 5 to 10 (gain); phantoms lack the speckle of 2 mm pixels (noise).
TRAINING = SegmenterTraining(
    steps=350, ill=3, implanted=0, well=1, implants=False, augmentation=Augmentation(gain=0.35, noise=0.25)
)


@dataclass(frozen=True, eq=False)
class PhantomMips:
    """Both MIPs of a phantom as they are displayed, and where its body lies in them.

    Parameters
    ----------
    images : coronal and sagittal, SUV.
    lesions, visible : (row, column) bool of each view: lesions, and where they are the hottest along the ray.
    landmark_mm : rows from the top to the centre of the lungs, columns to the middle of the body, coronal and sagittal.
    scale : (across, deep, along) of the body against the reference body.
    """

    cancer_type: str
    images: tuple[MipImage, ...]
    lesions: tuple[BoolArray, ...]
    visible: tuple[BoolArray, ...]
    landmark_mm: tuple[float, ...]
    scale: tuple[float, ...]


def phantom_mips(seed: int) -> PhantomMips:
    """Simulate one phantom and project it."""
    patient, plan = make_patient(seed, PRESETS[PRESET], VOXEL_MM), plan_scan(seed, PRESETS[PRESET], VOXEL_MM)
    images = _displayed(patient, patient.volume.array)
    own = _displayed(patient, np.where(patient.truth.array > 0, patient.volume.array, 0))
    drawn = _displayed(patient, patient.truth.array.astype(np.float32))
    lesions = tuple(image.pixels > 0 for image in drawn)
    visible = tuple(
        mask & (mine.pixels >= OWN_SHARE * image.pixels) for mask, mine, image in zip(lesions, own, images, strict=True)
    )
    first, last = plan.corner - plan.spacing / 2, plan.corner + (np.array(plan.shape) - 0.5) * plan.spacing
    landmark = (last[2] - LUNGS_Z * plan.body.scale[2], last[0], -first[1])
    return PhantomMips(
        patient.cancer_type, images, lesions, visible, tuple(map(float, landmark)), tuple(plan.body.scale.tolist())
    )


def _displayed(patient: Patient, array: Array) -> tuple[MipImage, MipImage]:
    return display_images(project(Volume(np.asarray(array, dtype=np.float32), patient.volume.affine).to_ras()))


@dataclass(frozen=True)
class KnownPlace:
    """Where the reference puts a body whose place is known: landmarks in the frame (mm), and scale against the body."""

    landmark_mm: tuple[float, ...]
    scale: tuple[float, ...]

    def frames(self, mips: PhantomMips, rng: np.random.Generator) -> tuple[BodyFrame, BodyFrame]:
        """Frames of both views, off by as much as a fit is."""
        across, deep, along = np.array(mips.scale) * self.scale * np.exp(rng.normal(0, LOG_SCALE, 3))
        rows, coronal, sagittal = np.array(mips.landmark_mm) + rng.normal(0, SHIFT_MM, 3)
        z, x, y = self.landmark_mm
        top = float(rows - z * along)
        return (
            BodyFrame((top, float(coronal - x * across)), (float(along), float(across))),
            BodyFrame((top, float(sagittal - y * deep)), (float(along), float(deep))),
        )


def learn_place(people: Sequence[PhantomMips], reference: Reference) -> KnownPlace:
    """Fit some phantoms to the reference; the median of where their landmarks come to lie, and of their scales."""
    found = []
    for mips in people:
        coronal, sagittal = reference.place(mips.images)
        (along, across), deep = coronal.scale, sagittal.scale[1]
        rows, middle, depth = mips.landmark_mm
        place = [(rows - coronal.origin[0]) / along, (middle - coronal.origin[1]) / across]
        place.append((depth - sagittal.origin[1]) / deep)
        found.append([*place, across / mips.scale[0], deep / mips.scale[1], along / mips.scale[2]])
    z, x, y, across, deep, along = np.median(found, axis=0).tolist()
    return KnownPlace((z, x, y), (across, deep, along))


def training_set(people: Sequence[PhantomMips], place: KnownPlace, random_seed: int = 0) -> TrainingSet:
    """Phantoms in the frame of the body, with full knowledge but of hidden lesions."""
    rng, images, lesions, known = np.random.default_rng(random_seed), [], [], []
    for mips in people:
        frames = place.frames(mips, rng)
        images.append(
            [f.to_frame(i.pixels, i.spacing).astype(np.float16) for i, f in zip(mips.images, frames, strict=True)]
        )
        drawn, seen = (
            [
                np.nan_to_num(f.to_frame(mask.astype(np.float32), i.spacing)) > share
                for mask, i, f in zip(masks, mips.images, frames, strict=True)
            ]
            for masks, share in ((mips.lesions, 0.5), (mips.visible, 0.2))
        )
        lesions.append(drawn)
        known.append([~(mask & ~ndimage.binary_dilation(own)) for mask, own in zip(drawn, seen, strict=True)])
    types = tuple(None if mips.cancer_type == NO_TUMOUR else mips.cancer_type for mips in people)
    return TrainingSet(np.array(images), np.array(lesions), np.array(known), types)


def cached_mips(seed: int, cache: Path) -> PhantomMips:
    """A phantom's MIPs, simulated once and then read from the cache."""
    path = cache / f"{PRESET}-{seed}.npz"
    if not path.exists():
        mips = phantom_mips(seed)
        arrays: dict[str, Array] = {f"image{n}": image.pixels.astype(np.float16) for n, image in enumerate(mips.images)}
        arrays |= {f"lesions{n}": mask for n, mask in enumerate(mips.lesions)}
        arrays |= {f"visible{n}": mask for n, mask in enumerate(mips.visible)}
        spacing = [image.spacing for image in mips.images]
        np.savez_compressed(
            path, type=mips.cancer_type, spacing=spacing, landmark=mips.landmark_mm, scale=mips.scale, **arrays
        )
    with np.load(path, allow_pickle=False) as content:
        spacing = [tuple(row) for row in content["spacing"].tolist()]
        return PhantomMips(
            str(content["type"]),
            tuple(MipImage(content[f"image{n}"].astype(np.float32), spacing[n]) for n in (0, 1)),
            tuple(content[f"lesions{n}"] for n in (0, 1)),
            tuple(content[f"visible{n}"] for n in (0, 1)),
            tuple(content["landmark"].tolist()),
            tuple(content["scale"].tolist()),
        )


def draw_people(seeds: Sequence[int], cache: Path, workers: int) -> list[PhantomMips]:
    """Phantoms, simulated in parallel."""
    cache.mkdir(parents=True, exist_ok=True)
    draw = partial(cached_mips, cache=cache)
    with ProcessPoolExecutor(workers) as pool:
        return list(tqdm(pool.map(draw, seeds, chunksize=4), total=len(seeds), desc="phantoms"))


def main() -> None:
    """Simulate the people, train, write the segmenter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--steps", type=int, default=TRAINING.steps)
    parser.add_argument("--cache", type=Path, default=Path("work/pretraining"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=SHIPPED_SEGMENTER)
    args = parser.parse_args()
    people = draw_people(range(FIRST_SEED, FIRST_SEED + args.people), args.cache, args.workers)
    reference = load_reference()
    taught = training_set(people, learn_place(people[:FITTED], reference))
    training = replace(TRAINING, steps=args.steps)
    with tqdm(total=args.steps, desc="steps") as bar:

        def report(step: int, loss: float) -> bool:
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}")
            return False

        segmenter = train_segmenter(taught, reference.atlas, SETTINGS, training, report=report)
    history = {"phantoms": args.people, "preset": PRESET, "first_seed": FIRST_SEED, "steps": args.steps}
    save_segmenter(replace(segmenter, history=history), args.out)
    print(f"{args.out}: {args.people} phantoms, {args.steps} steps")


if __name__ == "__main__":
    main()
