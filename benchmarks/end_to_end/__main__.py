"""End-to-end benchmark over HTTP on phantoms: clicks, training and masks: `python -m benchmarks.end_to_end`.

For each cohort: the shipped weights before any click; clicks, and a kill of the server after the last; trainings from
those clicks, each evaluated on patients that were not clicked; a click on each of these, beside click + 41 %.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common.cohorts import COHORT_SEEDS, Case, drawn, stage
from benchmarks.common.server import Answer, Server
from benchmarks.common.serving import ServerError
from benchmarks.end_to_end.report import TITLE, Measured, Outcome, text_of, write
from wslpet.analysis.overlap import agreement, click_threshold
from wslpet.core.volume import Volume
from wslpet.io.readers import read_volume
from wslpet.method.shipped import SHIPPED_MODEL

FEW = 10
GEOMETRY_MM = 1e-2


@dataclass(frozen=True)
class Options:
    """clicked, unseen: patients; epochs: None is the app's setting; weights: measured as the shipped ones."""

    folder: Path
    clicked: int
    unseen: int
    epochs: int | None
    weights: Path


class Bench:
    """The benchmark of one cohort and its measurements. Each step starts its own server; see `STEPS`."""

    def __init__(self, preset: str, options: Options) -> None:
        self.options = options
        self.folder = options.folder / preset
        cases = drawn(self.folder, preset, options.unseen + options.clicked)
        self.unseen, self.clicked = cases[: options.unseen], cases[options.unseen :]
        self.few = self.clicked[:FEW]
        counts = {"unseen": len(self.unseen), "clicked": len(self.clicked), "few": len(self.few)}
        self.measured = Measured(preset, counts)
        self.broken: list[str] = []

    def shipped(self) -> None:
        """Masks before any click."""
        studies = stage(self.unseen, self.folder / "before")
        with self._server(studies, "shipped", self.options.weights) as server:
            self._segment_unseen("shipped", server)

    def clicks(self) -> None:
        """A click on each training patient; the server is killed as soon as the last is acknowledged."""
        studies = stage(self.clicked + self.unseen, self.folder / "studies")
        with self._server(studies, "clicks", self.options.weights) as server:
            answers = self._click("clicked", server, self.clicked)
            server.kill()
            for case, answer in zip(self.clicked, answers, strict=True):
                self._judge("clicked", case, answer)
            server.start()
            kept = [case for case in self.clicked if _seed_is_kept(server.seeds(case.name), case)]
        self.measured.seeds_kept, self.measured.seeds_sent = len(kept), len(self.clicked)
        if len(kept) < len(self.clicked):
            lost = [case.name for case in self.clicked if case not in kept]
            self.broken.append(f"{self.measured.preset}: seeds lost or changed after kill -9: {', '.join(lost)}")

    def tuned(self) -> None:
        """Training from the weights in use, on all clicks."""
        self._train_and_segment("tuned", self._annotated(), self.clicked, self.options.weights)

    def few_clicks(self) -> None:
        """The same, on few clicks."""
        studies = stage(self.few + self.unseen, self.folder / "few")
        with self._server(studies, "few", self.options.weights) as server:
            self._click("few", server, self.few)
        self._train_and_segment("few", studies, self.few, self.options.weights)

    def scratch(self) -> None:
        """Training from scratch, on all clicks."""
        self._train_and_segment("scratch", self._annotated(), self.clicked, None)

    def cams(self) -> None:
        """The same without the distance loss, with the average pooling that CAMs alone do best with."""
        self._train_and_segment("cams", self._annotated(), self.clicked, None, distance="off", pooling="average")

    def click(self) -> None:
        """A click on each unseen patient, in a folder of studies of its own; click + 41 % from the same voxel."""
        studies = stage(self.unseen, self.folder / "clicked")
        with self._server(studies, "click", self.options.weights) as server:
            for case, answer in zip(self.unseen, self._click("click", server, self.unseen), strict=True):
                self._judge("click", case, answer)
        for case in self._progress(self.unseen, "click + 41 %"):
            volume = read_volume(case.scan)
            mask = click_threshold(volume, np.array(case.position))
            self._judge("threshold", case, Answer(volume.with_array(mask, "label"), {}, 0.0))

    def _server(self, studies: Path, system: str, weights: Path | None, **conf: str) -> Server:
        """A server whose weights in use are those given, or none, and that publishes to a folder of its own."""
        models = (self.folder / "models" / system).resolve()
        shutil.rmtree(models, ignore_errors=True)
        models.mkdir(parents=True)
        if weights is not None and weights != SHIPPED_MODEL:
            shutil.copyfile(weights, models / "wslpet.pt")
        pretrained = "true" if weights == SHIPPED_MODEL else "false"
        conf = {"model_dir": str(models), "use_pretrained_model": pretrained, **conf}
        return Server(studies, self.folder / "scratch" / system, conf)

    def _annotated(self) -> Path:
        studies = self.folder / "studies"
        if not (studies / ".wslpet" / "seeds.jsonl").exists():
            raise ServerError(f"{studies} has no clicks; run the step clicks, too")
        return studies

    def _train_and_segment(
        self, system: str, studies: Path, clicked: Sequence[Case], weights: Path | None, **conf: str
    ) -> None:
        request: dict[str, Any] = {"from_scratch": weights is None}
        if self.options.epochs is not None:
            request["max_epochs"] = self.options.epochs
        with self._server(studies, system, weights, **conf) as server:
            with tqdm(desc=self._named(f"training, {system}"), unit="epoch", disable=None) as bar:
                training = server.train(request, lambda stats: _show(bar, stats))
            self.measured.trainings[system] = training
            learned = sum(training.stats["patients"].values())
            if learned != len(clicked):
                self.broken.append(
                    f"{self._named(system)}: {learned} of {len(clicked)} clicked patients were trained on"
                )
            versions = self._segment_unseen(system, server)
        if training.stats["published"] and versions != {training.stats["model_version"]}:
            self.broken.append(f"{self._named(system)}: answered by {versions}, not by the weights just published")

    def _segment_unseen(self, system: str, server: Server) -> set[str]:
        """Masks of the unseen patients; returns the versions of the weights that answered."""
        versions = set()
        for case in self._progress(self.unseen, f"masks, {system}"):
            answer = server.infer(case.name)
            versions.add(answer.result["model_version"])
            self._judge(system, case, answer)
        return versions

    def _click(self, system: str, server: Server, cases: Sequence[Case]) -> list[Answer]:
        return [
            server.click(case.name, case.cancer_type, case.index) for case in self._progress(cases, f"clicks, {system}")
        ]

    def _judge(self, system: str, case: Case, answer: Answer) -> None:
        truth = case.true_mask()
        _check_geometry(case, answer.mask, truth)
        predicted = answer.result.get("cancer_type", "")
        right = predicted == case.cancer_type if predicted else None
        found = agreement(answer.mask.array, truth.array, truth.voxel_ml, right)
        self.measured.outcomes.append(Outcome(system, case, found, predicted, answer.seconds))

    def _progress(self, cases: Sequence[Case], what: str) -> tqdm:
        return tqdm(cases, desc=self._named(what), disable=None)

    def _named(self, what: str) -> str:
        return f"{self.measured.preset}: {what}"


STEPS: dict[str, Callable[[Bench], None]] = {
    "shipped": Bench.shipped,
    "clicks": Bench.clicks,
    "tuned": Bench.tuned,
    "scratch": Bench.scratch,
    "cams": Bench.cams,
    "few": Bench.few_clicks,
    "click": Bench.click,
}


def main() -> int:
    """Measure, print, write the report. Returns 0 when everything ran, however good the figures are, else 1."""
    parser = argparse.ArgumentParser("python -m benchmarks.end_to_end", description=__doc__.split("\n")[0])
    parser.add_argument("--cohorts", nargs="+", choices=COHORT_SEEDS, default=list(COHORT_SEEDS))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="default: all, in this order")
    parser.add_argument("--patients", nargs=2, type=int, metavar=("CLICKED", "UNSEEN"), help="default: 40 40")
    parser.add_argument("--epochs", type=int, help="of every training; default: the app's setting")
    parser.add_argument("--quick", action="store_true", help="6 + 6 patients and 2 epochs, to see that it runs")
    parser.add_argument("--weights", type=Path, default=SHIPPED_MODEL, help="measured as the shipped ones")
    parser.add_argument("--out", type=Path, default=Path("work/e2e"))
    args = parser.parse_args()
    clicked, unseen = args.patients or ((6, 6) if args.quick else (40, 40))
    epochs = args.epochs or (2 if args.quick else None)
    options = Options(args.out, clicked, unseen, epochs, args.weights.resolve())
    if not options.weights.is_file():
        print(f"{args.weights} does not exist; make pretrain writes it", file=sys.stderr)
        return 1
    print(f"# {TITLE}\n", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the server is stopped, too
    cohorts: list[Measured] = []
    broken: list[str] = []
    for preset in args.cohorts:
        bench = Bench(preset, options)
        cohorts.append(bench.measured)
        for step in (name for name in STEPS if name in args.steps):
            _run(bench, step)
            write(options.folder, cohorts)
        broken += bench.broken
        print(text_of(bench.measured), flush=True)
    for problem in broken:
        print(f"BROKEN {problem}", file=sys.stderr)
    return 1 if broken else 0


def _run(bench: Bench, step: str) -> None:
    start = time.perf_counter()
    try:
        STEPS[step](bench)
    except Exception as error:  # the other steps are still valid
        bench.broken.append(f"{bench.measured.preset}: step {step}: {type(error).__name__}: {error}")
        print(bench.broken[-1], file=sys.stderr)
    print(f"{bench.measured.preset}: {step} took {time.perf_counter() - start:.0f} s", flush=True)


def _show(bar: tqdm, stats: dict[str, Any]) -> None:
    bar.total = stats.get("total_epochs")
    bar.update(stats.get("epoch", 0) - bar.n)
    if "eval" in stats:
        metrics = stats["eval"]["metrics"]
        bar.set_postfix_str(f"seed hit {metrics['localisation_rate']:.2f}, type {metrics['type_accuracy']:.2f}")


def _seed_is_kept(seeds: list[dict[str, Any]], case: Case) -> bool:
    """Whether there is one seed, of the type and at the voxel that were sent, at the place that voxel has."""
    if len(seeds) != 1:
        return False
    seed = seeds[0]
    as_sent = seed["cancer_type"] == case.cancer_type and seed["index"] == list(case.index)
    return as_sent and bool(np.allclose(seed["position"], case.position, atol=GEOMETRY_MM))


def _check_geometry(case: Case, mask: Volume, truth: Volume) -> None:
    if mask.shape != truth.shape or not np.allclose(mask.affine, truth.affine, atol=GEOMETRY_MM):
        raise ServerError(
            f"{case.name}: the mask has shape {mask.shape} and affine {mask.affine.tolist()}, the scan has "
            f"{truth.shape} and {truth.affine.tolist()}"
        )


if __name__ == "__main__":
    sys.exit(main())
