"""Files → Volume, and masks → files. Whatever is not a 3D PET scan in SUV is refused here."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.volumeutils import apply_read_scaling

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import GeometryError, InputError
from wslpet.core.limits import MAX_VOXELS
from wslpet.core.volume import Volume
from wslpet.io.nifti_forms import affine_of, disagreement_mm, forms_of, other_affine, with_forms
from wslpet.io.plausible import check_range, check_values

NIFTI = (".nii.gz", ".nii")
ITK = (".nrrd", ".mha", ".mhd")
# By name: ITK itself knows some endings in lower case only.
_ITK_READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# More would have to wait for each other more often; the last of fewer would be late.
PIECES = 12
_HEAD_BYTES = 1 << 20
_NOTHING_BYTES = 1 << 19
_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file:)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
# Axes of an NRRD or MHA may be this far from right angles (cosine), and places this far apart, by rounding.
PERPENDICULAR = 1e-4
SAME_PLACE_MM = 0.05
# Masks are nearly all zeros: the lightest compression makes them small.
MASK_COMPRESSION = 1


# Told of a volume whose voxels are still to come; returns what is told of slices (last axis) as they arrive.
OnSlices = Callable[[Volume], Callable[[slice], None]]


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a PET scan, in the orientation it is stored in: a file in SUV, or the folder of one DICOM series.

    Returns
    -------
    Volume, float32 (i, j, k).

    Raises
    ------
    InputError
        when the file is missing, damaged, of another kind, not finite, empty or not in SUV.
    GeometryError
        when it is not 3D, or one slice, or has no usable orientation.
    DicomError
        when the folder is not one PET series whose SUV can be known.
    """
    volume = decoded(path)
    check_suv(volume, float(volume.array.min()), float(volume.array.max()), from_file=not Path(path).is_dir())
    return volume


def check_suv(volume: Volume, low: float, high: float, from_file: bool) -> None:
    """Raises InputError where a scan whose extremes are these is not in SUV.

    Parameters
    ----------
    from_file : nothing but its values tells what it is; not of a series whose SUV follows from its DICOM header.
    """
    check_range(volume.name, low, high)
    if from_file:
        check_values(volume)


def ending(name: str) -> str:
    """How a file's name says what it is, one of `NIFTI` and `ITK`, in the case it is written in; "" when it is none."""
    end = next((end for end in NIFTI + ITK if name.lower().endswith(end)), "")
    return name[len(name) - len(end) :]


def decoded(path: str | os.PathLike[str], on_slices: OnSlices | None = None) -> Volume:
    """As `read_volume`, but for what `check_suv` refuses.

    Parameters
    ----------
    on_slices : watches a NIfTI file while it is decoded; of other formats it hears nothing.
    """
    path = Path(path)
    if path.is_dir():
        from wslpet.io.dicom.series import read_series

        return read_series(path).volume
    return _read(path, _check_scan, on_slices)


def decoded_bytes(path: str | os.PathLike[str]) -> int:
    """Bytes of the array that `read_volume` makes, told by the header alone; 0 of a file that it will refuse."""
    path = Path(path)
    try:
        if path.is_dir():  # DICOM's pixels have half the size of ours
            return 2 * sum(file.stat().st_size for file in path.iterdir())
        is_nifti = ending(path.name).lower() in NIFTI
        shape = _nifti(path).shape if is_nifti else _itk_header(path).GetSize()
    except Exception:
        return 0
    return 4 * int(np.prod(shape, dtype=np.int64))


def read_mask(path: str | os.PathLike[str], scan: Volume | None = None) -> Volume:
    """Read label values, in the orientation they are stored in; an empty mask is a mask.

    Parameters
    ----------
    scan : that the mask is of. Where the scan's qform and sform disagree, a mask of its shape that lies where the one
        leads that does not count was drawn on it all the same, and is placed as the scan is.

    Returns
    -------
    Volume, uint8 (i, j, k), unit "label".

    Raises
    ------
    InputError
        when the file is missing, damaged, of another kind or not 3D, or holds anything but whole numbers
        from 0 to 255.
    """
    volume = _read(Path(path), _check_size)
    labels = volume.array.astype(np.uint8)
    if not np.array_equal(labels, volume.array):
        raise InputError(f"mask {volume.name} holds values that are no labels (whole numbers from 0 to 255)")
    if scan is not None and _is_drawn_on(volume, scan):
        return Volume(labels, scan.affine, "label", volume.name, scan.forms)
    return volume.with_array(labels, "label")


def _is_drawn_on(mask: Volume, scan: Volume) -> bool:
    other = other_affine(scan.forms)
    return (
        other is not None
        and mask.shape == scan.shape
        and disagreement_mm(mask.affine, scan.affine, scan.shape) > SAME_PLACE_MM
        and disagreement_mm(mask.affine, other, scan.shape) <= SAME_PLACE_MM
    )


Check = Callable[[str, tuple[int, ...]], None]


def _read(path: Path, check: Check, on_slices: OnSlices | None = None) -> Volume:
    if not path.is_file():
        raise InputError(f"image {path.name} does not exist")
    end = ending(path.name).lower()
    if end in NIFTI:
        return _read_nifti(path, check, on_slices)
    if end in ITK:
        return _read_itk(path, check)
    raise InputError(f"image {path.name} is none of {', '.join(NIFTI + ITK)}; convert it to NIfTI in SUV")


def _read_nifti(path: Path, check: Check, on_slices: OnSlices | None) -> Volume:
    try:
        image = _nifti(path)
        shape = _of_one_frame(image.shape)
        check(path.name, shape)
        if image.get_data_dtype().kind not in "iuf":
            raise InputError(
                f"image {path.name} holds {image.get_data_dtype()}, not one real number a voxel; export SUV"
            )
        affine, forms = affine_of(image.header, path.name), forms_of(image.header)
        volume = Volume(np.empty(shape, dtype=np.float32, order="F"), affine, "SUV", path.name, forms)
        _decode(path, image.dataobj, volume.array, on_slices(volume) if on_slices else None)
    except InputError:
        raise
    except Exception as error:
        why = str(error).replace(str(path), path.name)
        raise InputError(f"image {path.name} cannot be read as NIfTI ({why}); export it again") from error
    return volume


def _nifti(path: Path) -> Any:
    """nibabel's image of a file, whose voxels are still to be read."""
    end = ending(path.name)
    if end in (end.lower(), end.upper()):
        return nib.load(path)
    # nibabel would look for the name in lower case
    return nib.Nifti1Image.from_file_map({"image": nib.FileHolder(filename=str(path))})


def _decode(path: Path, stored: Any, array: Array, arrived: Callable[[slice], None] | None) -> None:
    """Fill (i, j, k) float32, first axis fastest: decompressed and scaled some slices at a time.

    Parameters
    ----------
    stored : nibabel's array proxy: offset, dtype, slope and intercept of what the file holds.
    """
    as_is = stored.dtype == np.float32 and stored.dtype.isnative and (stored.slope, stored.inter) == (1, 0)
    slope, inter = np.float32(stored.slope), np.float32(stored.inter)
    values, slice_size = array.reshape(-1, order="F"), array.shape[0] * array.shape[1]
    step = -(-array.shape[2] // PIECES)
    buffer = np.empty(0 if as_is else step * slice_size, dtype=stored.dtype)
    opener = igzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        file.seek(stored.offset)
        for start in range(0, array.shape[2], step):
            target = values[start * slice_size : (start + step) * slice_size]
            piece = target if as_is else buffer[: target.size]
            if _read_into(file, piece) != piece.nbytes:
                raise EOFError("the file ends too early")
            if not as_is:
                target[:] = apply_read_scaling(piece, slope, inter)
            if arrived:
                arrived(slice(start, start + step))
        file.read(1)  # gzip's checksum is looked at where the data end


def _read_into(file: Any, array: Array) -> int:
    view, filled = array.view(np.uint8).data, 0
    while count := file.readinto(view[filled:]):
        filled += count
    return filled


def _itk_header(path: Path) -> Any:
    import SimpleITK as sitk  # heavy, and only for the rarer formats

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_ITK_READERS[ending(path.name).lower()])
    reader.ReadImageInformation()
    return reader


def _read_itk(path: Path, check: Check) -> Volume:
    import SimpleITK as sitk

    _check_attached(path)
    try:
        reader = _itk_header(path)
        shape = _of_one_frame(reader.GetSize())
        check(path.name, shape)
        image = reader.Execute()
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(f"image {path.name} holds several numbers a voxel; export SUV")
        array = sitk.GetArrayFromImage(image).astype(np.float32).T.reshape(shape, order="A")  # (k, j, i) → (i, j, k)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"image {path.name} cannot be read ({type(error).__name__}); export it again") from error
    return Volume(array, LPS_TO_RAS @ _itk_affine(image, path.name), "SUV", path.name)


def _itk_affine(image: Any, name: str) -> FloatArray:
    """(4, 4), voxel index → mm LPS, of the first three axes of an image of one frame."""
    axes = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:3, :3]
    if np.abs(axes.T @ axes - np.eye(3)).max() > PERPENDICULAR:
        raise GeometryError(
            f"image {name}: its axes are not at right angles (it shears); resample it to a grid that is"
        )
    affine = np.eye(4)
    affine[:3, :3] = axes * image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return affine


def _check_attached(path: Path) -> None:
    """Refuse a header that has its voxels in another file, which may be any file of this computer.

    Of .mhd, which has no other way, the file beside it. Keywords: MetaIO's ElementDataFile, and NRRD's "data file".
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    named = [match.decode("latin-1").strip() for match in _DATA_FILE.findall(head)]
    beside = path.name.lower().endswith(".mhd") and all(
        Path(n).name == n and n not in (".", "..", "LIST") for n in named
    )
    if any(name != "LOCAL" for name in named) and not beside:
        raise InputError(f"image {path.name} has its voxels in another file, {named[-1][:80]!r}; export it as one file")


def _of_one_frame(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the axes beyond the third, where each holds one frame."""
    return shape[:3] if all(n == 1 for n in shape[3:]) else shape


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise GeometryError(f"image {name}: shape {tuple(shape)} is not 3D; export one static 3D PET scan")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise InputError(f"image {name}: {tuple(shape)} is over {MAX_VOXELS} voxels; crop or resample it")


def _check_scan(name: str, shape: tuple[int, ...]) -> None:
    _check_size(name, shape)
    if 1 in shape:
        raise GeometryError(f"image {name}: {tuple(shape)} is one slice, no volume; give the whole scan")


def write_mask(mask: Volume, path: str | os.PathLike[str], compress: bool = True) -> None:
    """Write label values as uint8 NIfTI (compressed by the name's end), .nrrd or .mha.

    It lies where the scan does for whoever reads both: a NIfTI mask of a NIfTI scan has its qform, sform and codes.
    """
    name = Path(path).name
    if name.endswith((*NIFTI, ".nrrd")):
        with open(path, "wb") as file:
            _write_to(file, mask, name, compress)
    else:
        _write_itk(mask, Path(path), compress)


def mask_content(mask: Volume, extension: str, compress: bool = True, slices: slice | None = None) -> bytes:
    """What `write_mask` writes into a file whose name ends so.

    Parameters
    ----------
    slices : of the last axis, with a start and a stop, if it is known that all others hold nothing.
    """
    if extension.endswith((*NIFTI, ".nrrd")):
        file = io.BytesIO()
        _write_to(file, mask, extension, compress, slices)
        return file.getvalue()
    with tempfile.TemporaryDirectory(prefix="wslpet-") as folder:
        path = Path(folder) / f"mask{extension}"
        _write_itk(mask, path, compress)
        return path.read_bytes()


def _write_to(file: BinaryIO, mask: Volume, name: str, compress: bool, slices: slice | None = None) -> None:
    """Header and voxels, first axis fastest; of .nrrd the header stays plain."""
    pieces = _pieces(np.asfortranarray(mask.array, dtype=np.uint8), slices)
    if name.endswith(".nrrd"):
        file.write(_nrrd_header(mask, compress))
        header = b""
    else:
        header, compress = _nifti_header(mask.shape, mask.affine.tobytes(), mask.forms), name.endswith(".gz")
    if not compress:
        file.writelines([header, *pieces])
        return
    with igzip.IGzipFile(fileobj=file, mode="wb", compresslevel=MASK_COMPRESSION, filename="", mtime=0) as packed:
        packed.writelines([header, *pieces])


def _pieces(array: Array, slices: slice | None) -> Iterator[memoryview]:
    """The voxels. Memory that was never written to, as beyond `slices`, has to be fetched to be read: it is not."""
    if slices is None:
        yield array.T.data
        return
    plane, nothing = array.shape[0] * array.shape[1], memoryview(bytes(_NOTHING_BYTES))
    for first, last in ((0, slices.start), (slices.stop, array.shape[2])):
        if first:
            yield array[:, :, slices].T.data
        for start in range(first * plane, last * plane, _NOTHING_BYTES):
            yield nothing[: last * plane - start]


@lru_cache(maxsize=64)
def _nifti_header(shape: tuple[int, int, int], affine: bytes, forms: bytes) -> bytes:
    """Of a mask on a grid; `affine` is its matrix in memory, float64, which counts where there are no `forms`."""
    nothing = np.broadcast_to(np.uint8(0), shape)
    image = nib.Nifti1Image(nothing, np.frombuffer(affine).reshape(4, 4))
    image.header.set_xyzt_units("mm")
    if forms:
        with_forms(image.header, forms)
    image.header.set_data_offset(image.header.single_vox_offset)
    return bytes(image.header.binaryblock) + bytes(image.header.single_vox_offset - image.header.sizeof_hdr)


def _nrrd_header(mask: Volume, compress: bool) -> bytes:
    """As the Teem library specifies it, http://teem.sourceforge.net/nrrd/format.html."""
    affine = LPS_TO_RAS @ mask.affine
    vectors = [f"({','.join(repr(float(v)) for v in column)})" for column in affine[:3].T]
    lines = [
        "NRRD0004",
        "type: uint8",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, mask.shape))}",
        f"space directions: {' '.join(vectors[:3])}",
        "kinds: domain domain domain",
        f"encoding: {'gzip' if compress else 'raw'}",
        f"space origin: {vectors[3]}",
    ]
    return ("\n".join(lines) + "\n\n").encode()


def _write_itk(mask: Volume, path: Path, compress: bool) -> None:
    import SimpleITK as sitk

    affine = LPS_TO_RAS @ mask.affine
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask.array.T, dtype=np.uint8))
    image.SetSpacing(mask.spacing)
    image.SetDirection((affine[:3, :3] / mask.spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=compress)
