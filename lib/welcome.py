"""What someone who has just started the server is told: what to open, what to do there, what to type."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from lib.cohort import find_table
from lib.errors import InputError
from lib.readers import ITK, NIFTI, read_volume
from lib.settings import Settings

TEXT = """
  WSL-PET finds the tumour in whole-body FDG PET from one click and a cancer type.
  {count} in {studies}

  Browser    {url}/ : every request, to read about and to try
  3D Slicer  Extensions Manager: install MONAILabel. Module MONAI Label: type the server, {url} ,
             connect, Next Sample. Auto Segmentation, model wslpet, finds the tumour. SmartEdit, model
             wslpet_seed: choose the label {labels}, place one point on the tumour, update.
  OHIF       reads DICOMweb servers, not folders of files; coming.

  From another terminal (Ctrl-C in this one stops the server):

  # find the tumour: the figures, then the mask
  curl -X POST '{url}/infer/wslpet?image={image}&output=json'
  curl -X POST '{url}/infer/wslpet?image={image}&output=image' -o {image}-mask.nii.gz

  # one click, as voxel i, j, k, with its type; it is recorded and answered with the lesion
  curl -X POST '{url}/infer/wslpet_seed?image={image}&output=json' -F 'params={click}'

  # after clicks in two patients of each type: learn, look how far it is, and ask again
  curl -X POST '{url}/train/wslpet' -H 'Content-Type: application/json' -d '{{}}'
  curl '{url}/train/'
"""


def welcome(studies: Path, host: str, port: int, settings: Settings | None = None) -> str:
    """The text; its requests name a scan of the folder, and where the folder is a phantom cohort, its tumour.

    Raises
    ------
    InputError
        when the folder is missing or holds no scan.
    """
    settings = settings or Settings()
    scans = sorted(p for p in _listed(studies) if p.name.endswith(NIFTI + ITK))
    if not scans:
        raise InputError(f"studies {studies} holds no scan ({', '.join(NIFTI + ITK)}); make demo writes phantoms")
    image = next(scans[0].name.removesuffix(end) for end in NIFTI + ITK if scans[0].name.endswith(end))
    cancer_type, index = _click(scans[0], image, studies, settings)
    return TEXT.format(
        url=f"http://{_reachable(host)}:{port}",
        count=f"{len(scans)} scan{'s' * (len(scans) > 1)}",
        studies=studies,
        labels=" or ".join(settings.types),
        image=image,
        click=json.dumps({cancer_type: [index]}),
    )


def _listed(studies: Path) -> list[Path]:
    try:
        return list(studies.iterdir())
    except OSError as error:
        raise InputError(f"studies {studies} cannot be listed ({error.strerror}); give a folder of scans") from error


def _reachable(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _click(scan: Path, image: str, studies: Path, settings: Settings) -> tuple[str, list[int]]:
    # The phantom's own click, or the middle of the scan: the request works, the reader moves it.
    volume = read_volume(scan)
    middle = settings.types[0], [n // 2 for n in volume.shape]
    try:
        with open(find_table(studies), newline="", encoding="utf-8") as file:
            row = next(row for row in csv.DictReader(file) if row["name"] == image)
        point = np.array([float(row[axis]) for axis in "xyz"])
    except (InputError, StopIteration, KeyError, ValueError, OSError):
        return middle
    return row["cancer_type"], np.rint(volume.to_index(point)).astype(int).tolist()
