"""List the files of the studies folder that are images, and the reasons why other files are not.

The name of an image is its path in the studies folder without the file's ending: `sub-01/pet/sub-01_pet` for the file
`sub-01/pet/sub-01_pet.nii.gz`. Names are therefore unique, and a label has the same path below `labels/<tag>/`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from wslpet.io.dicom.files import is_candidate
from wslpet.io.folders import Tree
from wslpet.io.readers import ending

IMAGE_ENDS = (".nii.gz", ".nii", ".nrrd", ".mha")
# MONAI Label's own folder and file in the studies folder.
NOT_STUDIES = ("labels", "datastore_v2.json")
MAX_NAME = 300
# The CT of `NAME.nii.gz` is `NAME_ct.nii.gz` beside it.
CT_WORD = "_ct"
# Last words of file names, and names of folders, that mean another image than a PET in autoPET, HECKTOR and BIDS.
_OTHER_WORDS = {"ct": "a CT", "ctres": "a CT", "seg": "a mask", "mask": "a mask", "label": "a mask", "labels": "a mask"}
_MASK_FOLDERS = ("labels", "labelstr", "labelsts", "masks")


def image_files(tree: Tree, known: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """List the images among the files of the studies folder.

    Parameters
    ----------
    tree : the files.
    known : images that are listed already → the ending of their file.

    Returns
    -------
    image → the ending of its file; and file → why it is left out. Files that may be DICOM are in neither.
    """
    left_out = {_shown(name): why for name, why in tree.left_out.items()}
    files: dict[str, list[str]] = {}
    for name in tree.files:
        end = ending(PurePosixPath(name).name)
        if end.lower() not in IMAGE_ENDS:
            if not is_candidate(PurePosixPath(name).name):
                left_out[_shown(name)] = _no_image(end)
            continue
        image = name[: len(name) - len(end)]
        why = _no_name(name, image) or ("" if image in known else _by_name_no_pet(image))
        if why:
            left_out[_shown(name)] = why
        else:
            files.setdefault(image, []).append(end)
    images = {}
    for image, ends in files.items():
        pet = image.removesuffix(CT_WORD)
        if pet != image and pet in files:
            left_out |= {f"{image}{end}": f"the CT of {pet}, which the page shows under it" for end in ends}
            continue
        first, *others = sorted(ends, key=lambda end: (end != known.get(image), IMAGE_ENDS.index(end.lower()), end))
        images[image] = first
        for end in others:
            left_out[f"{image}{end}"] = f"image {image} is {image}{first} already; rename or remove one of the two"
    return images, left_out


def flat_name(image: str, end: str) -> str:
    """Return a unique file name for a viewer that keeps all images in one folder."""
    if "/" not in image:
        return f"{image}{end}"
    return f"{image.replace('/', '_')}-{hashlib.sha256(image.encode()).hexdigest()[:8]}{end}"


def _no_image(end: str) -> str:
    if end:
        return f"{end} has its voxels in another file; write it as .mha or .nii.gz"
    return f"no image ({', '.join(IMAGE_ENDS)}) and no DICOM by its name"


def _no_name(name: str, image: str) -> str:
    """Why a file's name cannot be that of an image; "" if it can."""
    try:
        image.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    if not image.isprintable():
        return "its name holds control characters; rename it"
    if len(image) > MAX_NAME:
        return f"its path has {len(name)} characters, at most {MAX_NAME} are possible; move or rename it"
    return ""


def _by_name_no_pet(image: str) -> str:
    """Why a file in a subfolder is left out by its name; "" if not. Files in the studies folder itself are kept."""
    *folders, stem = image.split("/")
    if not folders:
        return ""
    word = re.split(r"[_\-. ]", stem)[-1].lower()
    what = _OTHER_WORDS.get(word) or ("a mask" if any(f.lower() in _MASK_FOLDERS for f in folders) else None)
    return f"by its name {what}, not a PET; rename it if it is one" if what else ""


def _shown(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()
