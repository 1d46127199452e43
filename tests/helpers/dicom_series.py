"""A small PET series on disk, and ways to spoil or change it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import UID, JPEGLSLossless, JPEGLSNearLossless

from tests.helpers.blobs import affine_of
from wslpet.core.volume import Volume
from wslpet.data.phantom import Examination, write_series
from wslpet.io.dicom.headers import write_dicom

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SHAPE = (6, 5, 7)


def real_data(name: str) -> Path:
    """A folder of real data, or a visible skip where it is missing."""
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not on this machine")
    return DATA / name


def small_volume(tilt_degrees: float = 0.0) -> Volume:
    array = np.random.default_rng(3).uniform(0.5, 9, SHAPE).astype(np.float32)
    array[4, 1, 5] = 20
    return Volume(array, affine_of((3.0, 4.0, 5.0), (-20.5, 31.25, 410.9), tilt_degrees), "SUV", "small")


def same_in_the_world(read: Volume, written: Volume, steps: float = 0.51) -> bool:
    """Each value within half a step of 15 bits of the hottest voxel, each voxel at its place."""
    one, two = read.to_ras(), written.to_ras()
    step = float(written.array.max()) / 32767
    return np.allclose(one.affine, two.affine, atol=1e-6) and np.allclose(one.array, two.array, atol=steps * step)


def small_series(folder: Path, examination: Examination | None = None) -> list[Path]:
    """7 slices, 5 mm apart, in order of their files 0001.dcm to 0007.dcm."""
    return write_series(small_volume(), folder, "someone", examination)


def change(files: Path | Iterable[Path], edit: Callable[[Dataset], object]) -> None:
    """Rewrite files, or all of a folder, after an edit of each dataset."""
    if isinstance(files, Path):
        files = sorted(files.iterdir()) if files.is_dir() else [files]
    for file in files:
        dataset = pydicom.dcmread(file)
        edit(dataset)
        write_dicom(dataset, file)


def put(dataset: Dataset, keyword: str, text: str | None) -> None:
    """Bytes as they are, valid or not, in the dataset or its tracer; None removes the tag."""
    if keyword.startswith("Radio") and keyword != "RadiopharmaceuticalInformationSequence":
        dataset = dataset.RadiopharmaceuticalInformationSequence[0]
    tag = Tag(keyword)
    if tag in dataset:
        del dataset[tag]
    if text is not None:
        value = text.encode() + b" " * (len(text) % 2)
        dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)


def values(**tags: str | None) -> Callable[[Dataset], None]:
    """An edit that puts these bytes."""

    def edit(dataset: Dataset) -> None:
        for keyword, text in tags.items():
            put(dataset, keyword, text)

    return edit


def philips(dataset: Dataset, suv: str | None, activity: str | None = None) -> None:
    """The private tags of a Philips PET."""
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    for element, value in ((0x00, suv), (0x09, activity)):
        if value is not None:
            block.add_new(element, "DS", value)


def compress(dataset: Dataset, syntax: str, cut: int = 0) -> None:
    """Pixels as one JPEG Lossless or JPEG-LS frame, its last bytes cut off."""
    words = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
    if syntax in (JPEGLSLossless, JPEGLSNearLossless):
        code = bytes(imagecodecs.jpegls_encode(words, level=int(syntax == JPEGLSNearLossless)))
    else:
        code = bytes(imagecodecs.ljpeg_encode(words, bitspersample=16))
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([code[: len(code) - cut]])
    dataset["PixelData"].is_undefined_length = True


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def spoil(data: bytearray, rng: random.Random) -> bytes:
    """A file cut, scratched, or with bytes put over or between its own."""
    kind = rng.randrange(4)
    place = rng.randrange(len(data))
    if kind == 0:
        return bytes(data[:place])
    if kind == 1:
        for _ in range(rng.randrange(1, 40)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if kind == 2:
        data[place : place + rng.randrange(1, 30)] = rng.choice([b"\xff" * 9, b"NaN", b"1e999", b"\\", b"\0" * 5, b"-"])
        return bytes(data)
    data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 30)))
    return bytes(data)
