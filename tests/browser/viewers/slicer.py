"""The requests of 3D Slicer's MONAI Label module, sent by MONAI Label's client as an annotator presses the buttons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import requests
from nibabel.affines import apply_affine

from tests.helpers.app_server import Server
from wslpet.core.volume import Volume
from wslpet.io.masks import read_mask

SEEDING = "wslpet_seed"


class Slicer:
    """One scene: a sample, and the segments of all labels, in the server's order.

    A volume is read from the sample's path where the server's disk is this computer's, as the module does, or else
    downloaded.
    """

    def __init__(self, server: Server, shares_disk: bool = True) -> None:
        self._client = server.client()
        self._url = server.url
        self._folder = server.scratch
        self._shares_disk = shares_disk
        self.info = self._client.info()
        self.sample: dict[str, Any] = {}
        self.affine = np.eye(4)
        self._points: dict[str, list[list[int]]] = {}
        # As its table of options has them: of a list, the first until another is chosen.
        config = self.info["models"][SEEDING]["config"]
        self.options = {name: value[0] if isinstance(value, list) else value for name, value in config.items()}

    def next_sample(self, strategy: str = "first") -> str | None:
        """Next Sample: its id, with the volume loaded; None when the server has no more."""
        self.sample = self._client.next_sample(strategy, {})
        self._points = {}
        if not self.sample.get("id"):
            return None
        path = self.sample.get("path")
        self.affine = nib.load(path if self._shares_disk and Path(path).exists() else self._download()).affine
        return str(self.sample["id"])

    def auto_segment(self) -> tuple[Volume, dict[str, Any]]:
        """Auto Segmentation, Run: the mask and the JSON beside it."""
        return self._infer("wslpet", {})

    def point(self, label: str, position: np.ndarray) -> tuple[Volume, dict[str, Any]]:
        """SmartEdit: one more point, at mm RAS, in the segment chosen; the module sends those of all segments."""
        index = np.rint(apply_affine(np.linalg.inv(self.affine), position)).astype(int).tolist()
        self._points.setdefault(label, []).append(index)
        return self.run_points(label)

    def remove(self, label: str, number: int) -> None:
        """A point of a segment is deleted."""
        del self._points[label][number]

    def run_points(self, label: str) -> tuple[Volume, dict[str, Any]]:
        """SmartEdit, Update: the points of every segment that the server names."""
        points = {name: self._points.get(name, []) for name in self.info["labels"]}
        return self._infer(SEEDING, {**points, "label": label, **self.options})

    def label(self) -> bytes:
        """The submitted label's file, as the server has it."""
        query = {"label": self.sample["id"], "tag": "final"}
        answer = requests.get(f"{self._url}/datastore/label", params=query, timeout=60)
        answer.raise_for_status()
        return answer.content

    def submit(self, mask: np.ndarray, label: str) -> dict[str, Any]:
        """Submit Label: a boolean mask (i, j, k) of the volume, in the segment of that name."""
        names = [name for name in self.info["labels"] if name != "background"]
        path = self._folder / "submitted.nii.gz"
        nib.save(nib.Nifti1Image(mask.astype(np.uint8) * (names.index(label) + 1), self.affine), path)
        label_info = [{"name": name, "idx": n} for n, name in enumerate(names, start=1)]
        return self._client.save_label(
            self.sample["id"], str(path), params={"label_info": label_info, "model": "wslpet"}
        )

    def train(self, **options: Any) -> None:
        """Train, of the module's Active Learning: the options are those of its table, with what the server proposes."""
        self._client.train_start("wslpet", {**self.info["trainers"]["wslpet"]["config"], **options})

    def _infer(self, model: str, params: dict[str, Any]) -> tuple[Volume, dict[str, Any]]:
        params = {**params, "result_extension": ".nrrd", "result_dtype": "uint8"}
        path, result = self._client.infer(model, self.sample["id"], params)
        return read_mask(Path(path)), result

    def _download(self) -> Path:
        answer = requests.get(f"{self._url}/datastore/image", params={"image": self.sample["id"]}, timeout=60)
        answer.raise_for_status()
        path = self._folder / self.sample["name"]
        path.write_bytes(answer.content)
        return path
