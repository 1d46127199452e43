"""Automatic demo: send simulated clicks to the running server, train, and evaluate the improvement.

`wslpet demo-clicks STUDIES` uses the server's API as viewers do. The ground truth beside the studies is used for the
clicks and to evaluate masks of patients without a click; the server never sees it.
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests

from wslpet.core.arrays import BoolArray
from wslpet.core.errors import InputError
from wslpet.data.cohort_table import find_table
from wslpet.io.masks import read_mask

ANSWER_SECONDS = 300
POLL_SECONDS = 0.5
# User name of the clicks.
CLICKED_BY = "phantom's truth"


class DemoError(InputError):
    """The demo cannot use a server or a folder."""


@dataclass(frozen=True)
class Figures:
    """Results on patients without a click: number found, number of correct type, mean Dice."""

    patients: int
    found: int
    typed: int
    dice: float

    def __str__(self) -> str:
        return f"tumour found {self.found:2} of {self.patients}, type right {self.typed:2}, Dice {self.dice:.2f}"


class Demo:
    """A phantom cohort and the server on it.

    Raises
    ------
    DemoError
        when the truth is missing, or the server does not answer or refuses.
    """

    def __init__(self, studies: Path, url: str) -> None:
        self._url = url.rstrip("/")
        self._table = find_table(studies)
        with open(self._table, newline="", encoding="utf-8") as file:
            self._rows = {row["name"]: row for row in csv.DictReader(file)}

    def clicked(self) -> list[str]:
        """Names of the patients with a seed."""
        return [name for name in self._rows if self._asked("GET", "/datastore/image/info", image=name).json()["seeds"]]

    def click(self, most: int, progress: Callable[[str], Any]) -> None:
        """Click on the first patients without a seed, equally many of each type, until `most` have one."""
        clicked = self.clicked()
        counts = Counter(self._rows[name]["cancer_type"] for name in clicked)
        each = most // len({row["cancer_type"] for row in self._rows.values()})
        for name, row in self._rows.items():
            if name in clicked or counts[row["cancer_type"]] >= each:
                continue
            params = {row["cancer_type"]: [self._voxel(row)], "client_id": CLICKED_BY}
            form = {"params": json.dumps(params)}
            self._asked("POST", "/infer/wslpet_seed", form, image=name, output="json")
            counts[row["cancer_type"]] += 1
            progress(f"{name}: a click on the {row['cancer_type']} tumour")

    def train(self) -> dict[str, Any]:
        """Train and wait. Returns the statistics, with `published`."""
        self._asked("POST", "/train/wslpet")
        while (task := self._asked("GET", "/train/").json())["status"] in ("SUBMITTED", "RUNNING"):
            time.sleep(POLL_SECONDS)
        if task["status"] != "DONE":
            raise DemoError(f"the training ended as {task['status']}: {' '.join(map(str, task.get('details', [])))}")
        stats: dict[str, Any] = self._asked("GET", "/info/").json()["train_stats"]["wslpet"]
        return stats

    def use_newest(self) -> None:
        """Decide for the newest training's weights, as a person does on the page."""
        run = self._asked("GET", "/wslpet/api/training").json()["runs"][0]["id"]
        content = {"run": run, "use": True, "annotator": CLICKED_BY}
        self._asked("POST", "/wslpet/api/training/decision", content=content)

    def unclicked(self) -> list[str]:
        """Names of the patients without a click, sorted."""
        return sorted(set(self._rows) - set(self.clicked()))

    def in_use(self, names: Sequence[str]) -> Figures:
        """Results of the server's weights."""
        return _figures(self._served(name) for name in names)

    def shipped(self, names: Sequence[str]) -> Figures:
        """Results of the shipped weights, computed in this process."""
        from wslpet.io.readers import read_volume
        from wslpet.method.inference.pipeline import find_lesions
        from wslpet.method.network.checkpoint import load_model  # slow to import
        from wslpet.method.shipped import SHIPPED_MODEL

        model = load_model(SHIPPED_MODEL)

        def found() -> Iterable[tuple[bool, bool, float]]:
            for name in names:
                result = find_lesions(read_volume(self._table.parent / self._rows[name]["scan"]), model)
                yield self._judged(name, result.mask.array, result.cancer_type)

        return _figures(found())

    def _served(self, name: str) -> tuple[bool, bool, float]:
        answer = self._asked("POST", "/infer/wslpet", image=name, output="json").json()
        mask = self._asked("POST", "/infer/wslpet", image=name, output="image").content
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mask.nii.gz"
            path.write_bytes(mask)
            return self._judged(name, read_mask(path).array, answer["cancer_type"])

    def _judged(self, name: str, mask: BoolArray, cancer_type: str) -> tuple[bool, bool, float]:
        from wslpet.analysis.overlap import agreement  # slow to import

        truth = read_mask(self._table.parent / self._rows[name]["mask"])
        one = agreement(mask, truth.array, truth.voxel_ml)
        return one.detected, cancer_type == self._rows[name]["cancer_type"], one.dice

    def _voxel(self, row: dict[str, str]) -> list[int]:
        mask = read_mask(self._table.parent / row["mask"])
        index = np.rint(mask.to_index(np.array([float(row[axis]) for axis in "xyz"])))
        return [int(i) for i in np.clip(index, 0, np.array(mask.shape) - 1)]

    def _asked(self, method: str, path: str, form: Any = None, content: Any = None, **query: str) -> requests.Response:
        body: dict[str, Any] = {"data": form} if form else {"json": content or {}} if method == "POST" else {}
        try:
            answer = requests.request(method, f"{self._url}{path}", params=query, timeout=ANSWER_SECONDS, **body)
        except requests.RequestException as error:
            raise DemoError(
                f"no server answers at {self._url} ({type(error).__name__}); start it with make demo"
            ) from error
        if not answer.ok:
            raise DemoError(f"{method} {path} {query or ''} was answered {answer.status_code}: {answer.text[:500]}")
        return answer


def _figures(judged: Iterable[tuple[bool, bool, float]]) -> Figures:
    rows = list(judged)
    found, typed, dice = zip(*rows, strict=True)
    return Figures(len(rows), sum(found), sum(typed), float(np.mean(dice)))


def play(demo: Demo, clicks: int, say: Callable[[str], Any]) -> None:
    """Click, train, and compare; with `clicks` 0 only compare."""
    if clicks:
        demo.click(clicks, say)
        say("training ...")
        stats = demo.train()
        say("the new model is in use" if stats["published"] else f"the new model {stats['not_published']}")
        if not stats["published"] and (stats.get("judgement") or {}).get("verdict") == "cannot tell":
            demo.use_newest()
            say("the demo decides for the new model, as you can on the page; the figures say whether that was right")
    names = demo.unclicked()
    if not names:
        raise DemoError("every patient has a click, so none is left to judge by; start anew with another DEMO folder")
    say(f"\n{len(names)} patients that nobody clicked, against the phantoms' truth:")
    say(f"  shipped weights  {demo.shipped(names)}")
    say(f"  model in use     {demo.in_use(names)}")
