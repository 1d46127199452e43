"""Text shown when the server has started: addresses to open and commands to try."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import requests

from wslpet.cli.serving.port import reachable
from wslpet.core.errors import InputError
from wslpet.core.settings import Settings
from wslpet.data.cohort_table import find_table
from wslpet.io.formats.itk import ITK
from wslpet.io.formats.nifti import NIFTI
from wslpet.io.readers import read_volume

DEFAULT_PORT = 8000
TEXT = """
  WSL-PET finds the tumour in whole-body FDG PET from one click and a cancer type.
  {count} in {studies}

  Browser    {url}/wslpet/ : click on the tumour, 1 or 2 for its type, Enter
{demo}  3D Slicer  Extensions Manager: install MONAILabel. Module MONAI Label: type the server, {url} ,
             connect, Next Sample. Auto Segmentation, model wslpet, finds the tumour. SmartEdit, model
             wslpet_seed: choose the label {labels}, place one point on the tumour, update.
  OHIF       reads DICOMweb servers, not folders of files: make demo-pacs

  From another terminal (every request, to read about and to try: {url}/docs ):

  # find the tumour: the figures, then the mask
  curl -X POST '{url}/infer/wslpet?image={image}&output=json'
  curl -X POST '{url}/infer/wslpet?image={image}&output=image' -o {image}-mask.nii.gz

  # one click, as voxel i, j, k, with its type; it is recorded and answered with the lesion
  curl -X POST '{url}/infer/wslpet_seed?image={image}&output=json' -F 'params={click}'

  # after clicks in two patients of each type: learn, look how far it is, and ask again
  curl -X POST '{url}/train/wslpet' -H 'Content-Type: application/json' -d '{{}}'
  curl '{url}/train/'
"""

DEMO_TEXT = """\
             These phantoms ate before their scan, on a scanner that the shipped weights have not seen: they
             miss most tumours. Click 16, eight of each type, then Training, Train, and Use the new model:
             too few patients judge to tell whether it is better. From another terminal, what that brought
             in patients that nobody clicked:
                 {command} --clicks 0
             Or have the 16 clicks played from the phantoms' known truth, the training started, and the new
             model used:
                 {command}
"""

PACS_TEXT = """
  WSL-PET finds the tumour in whole-body FDG PET from one click and a cancer type.
  {count} on the PACS {studies}

  Browser    {url}/wslpet/ : click on the tumour, 1 or 2 for its type, Enter
  OHIF       {url}/ohif/monai-label?StudyInstanceUIDs={study}
             Server: {url}/ , then the blue button beside it.
             Auto-Segmentation, Run: finds the tumour. Point Prompts: choose {labels}, click on the
             tumour, Run. Active Learning: Next Sample opens another patient, Update Model learns.
  3D Slicer  Extensions Manager: install MONAILabel. Module MONAI Label: type the server, {url} ,
             connect, Next Sample. Step by step, both viewers: docs/how-to/
  Requests   {url}/docs : all of them, to read about and to try
"""


def welcome(studies: Path, host: str, port: int, settings: Settings | None = None, demo: bool = False) -> str:
    """Text for a folder; its example requests use a scan of the folder and, in a phantom cohort, its tumour.

    Parameters
    ----------
    demo : whether the folder is the one of `wslpet demo`.

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
        url=f"http://{reachable(host)}:{port}",
        count=f"{len(scans)} scan{'s' * (len(scans) > 1)}",
        studies=studies,
        labels=" or ".join(settings.types),
        image=image,
        click=json.dumps({cancer_type: [index]}),
        demo=DEMO_TEXT.format(command=_demo_clicks(studies, port)) if demo else "",
    )


def _demo_clicks(studies: Path, port: int) -> str:
    """Command of the automatic demo, relative to the folder in which the demo was started."""
    command = Path(sys.executable).with_name("wslpet")
    program = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    return f"{program} demo-clicks {studies}" + ("" if port == DEFAULT_PORT else f" --url http://127.0.0.1:{port}")


def welcome_to_pacs(studies: str, host: str, port: int, settings: Settings | None = None) -> str:
    """Text for a DICOMweb address; it names a study with PET.

    Raises
    ------
    InputError
        when the PACS does not answer or has no PET.
    """
    found = _pet_studies(studies)
    if not found:
        raise InputError(f"PACS {studies} has no study with PET; make demo-pacs writes phantoms")
    return PACS_TEXT.format(
        url=f"http://{reachable(host)}:{port}",
        count=f"{len(found)} patient{'s' * (len(found) > 1)}",
        studies=studies,
        study=found[0],
        labels=" or ".join((settings or Settings()).types),
    )


def _pet_studies(studies: str) -> list[str]:
    """Study Instance UIDs, in order of patient ID."""
    try:
        answer = requests.get(f"{studies}/studies", params={"ModalitiesInStudy": "PT"}, timeout=30)
        answer.raise_for_status()
        found = [(_value(study, "00100020"), _value(study, "0020000D")) for study in answer.json()]
    except (requests.RequestException, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"PACS {studies} does not answer as DICOMweb does ({error}); is it running?") from error
    return [study for _, study in sorted(found) if study]


def _value(dataset: dict[str, Any], tag: str) -> str:
    return str(next(iter(dataset.get(tag, {}).get("Value", [])), ""))


def _listed(studies: Path) -> list[Path]:
    try:
        return list(studies.iterdir())
    except OSError as error:
        raise InputError(f"studies {studies} cannot be listed ({error.strerror}); give a folder of scans") from error


def _click(scan: Path, image: str, studies: Path, settings: Settings) -> tuple[str, list[int]]:
    # The phantom's simulated click, or else the centre of the scan, for the reader to change.
    volume = read_volume(scan)
    middle = settings.types[0], [n // 2 for n in volume.shape]
    try:
        with open(find_table(studies), newline="", encoding="utf-8") as file:
            row = next(row for row in csv.DictReader(file) if row["name"] == image)
        point = np.array([float(row[axis]) for axis in "xyz"])
    except (InputError, StopIteration, KeyError, ValueError, OSError):
        return middle
    return row["cancer_type"], np.rint(volume.to_index(point)).astype(int).tolist()
