"""WSL-PET as a MONAI Label app: from one click and a cancer type per patient to masks and a trained model."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from threadpoolctl import threadpool_limits

import wslpet
from wslpet.core.errors import InputError
from wslpet.core.parallel import wait_asleep
from wslpet.io.dicom.derived.segmentation import Maker
from wslpet.method.inference.pipeline import warm_up
from wslpet.method.shipped import SHIPPED_MODEL
from wslpet.server.configuration import configuration_from
from wslpet.server.errors import UnknownName, quoted
from wslpet.server.http import front
from wslpet.server.http.install import end_if_starting, install
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.cohort.overview import BackgroundScanner
from wslpet.server.page.review.agreement import ReaderAgreement
from wslpet.server.page.routes import routes
from wslpet.server.page.tables.burden import CohortBurden
from wslpet.server.page.tables.radiomics import RadiomicsJob
from wslpet.server.quiet import quieten
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.storage.opening import open_studies
from wslpet.server.tasks.active_model import ActiveModel
from wslpet.server.tasks.infer import DelineateClick, FindTumour
from wslpet.server.tasks.predictions import Predictions
from wslpet.server.tasks.scoring import Radiomics
from wslpet.server.tasks.strategies import First, Random, Review, Uncertainty
from wslpet.server.tasks.training.train import LearnFromSeeds

SWITCH_SECONDS = 0.0005


class WSLPETApp(MONAILabelApp):
    """Finds the tumour in whole-body FDG PET from one click and a cancer type."""

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        quieten()
        try:
            self.configuration = configuration_from(conf)
            self.settings = self.configuration.settings
            super().__init__(
                app_dir=app_dir,
                studies=studies,
                conf={"tracking": "none", **conf},
                name="WSL-PET",
                description="Weakly supervised lesion segmentation in whole-body FDG PET",
                version=wslpet.__version__,
            )
        except InputError as error:
            end_if_starting(error)
            raise
        # Otherwise MONAI Label would score the whole datastore at the start, at each next sample and after a training.
        self._auto_update_scoring = False
        self.page = AnnotationPage(self, self._datastore, self.predictions, self.settings)
        self.burden = CohortBurden(self.page)
        self.radiomics = RadiomicsJob(self.burden, self.page.datastore)
        self.agreement = ReaderAgreement(self.page, self.burden)
        self.scanner = BackgroundScanner(self.page, self.burden, self.agreement)
        if install([*front.routes(), *routes()], self.configuration.open_routes):
            wait_asleep()  # for the training, which runs in a process of its own
            # One thread per request, since requests run in parallel. With more threads the clicks of eight viewers take
            # 1.24 times as long (median; p95 1.34), the slowest /info/ 1.46 times (benchmarks/results/switches.md,
            # measured at a load of 11 to 14).
            torch.set_num_threads(1)
            threadpool_limits(1)
            # A thread waits for the GIL up to this interval; Python's default is 5 ms. With the default, p95 of eight
            # viewers' clicks is 1.24 times as long (quartiles 0.98 to 1.70), the slowest /info/ 1.55 times.
            sys.setswitchinterval(SWITCH_SECONDS)
            threading.Thread(target=warm_up, daemon=True).start()

    def init_datastore(self) -> SeriesDatastore:
        configuration = self.configuration
        return open_studies(
            self.studies,
            self.settings,
            configuration.renamed,
            configuration.state_dir,
            configuration.wait_for_scans,
            configuration.readers,
        )

    def init_infers(self) -> dict[str, Any]:
        # Weights are kept beside the annotations of their training, so that two cohorts do not share them.
        model_dir = self.configuration.model_dir or self._datastore.private / "model"
        shipped = SHIPPED_MODEL if self.configuration.use_pretrained_model else None
        self.weights = ActiveModel(model_dir / "wslpet.pt", shipped, self.settings, renamed=self.configuration.renamed)
        kept = self._datastore.private / "predictions"
        self.predictions = Predictions(self._datastore, self.weights, kept)
        tasks = {"wslpet": FindTumour, "wslpet_seed": DelineateClick}
        return {name: task(self._datastore, self.weights, self.settings) for name, task in tasks.items()}

    def init_trainers(self) -> dict[str, Any]:
        return {"wslpet": LearnFromSeeds(self.weights, self.settings)}

    def init_strategies(self) -> dict[str, Any]:
        strategies: dict[str, Any] = {"uncertainty": Uncertainty(self.weights), "random": Random(), "first": First()}
        return strategies | ({"review": Review()} if self.configuration.readers > 1 else {})

    def init_scoring_methods(self) -> dict[str, Any]:
        return {"radiomics": Radiomics(self.settings)}

    def infer(self, request: Mapping[str, Any], datastore: Any = None) -> dict[str, Any]:
        """MONAI Label's `infer`, but only for an image of the datastore or of a session."""
        result: dict[str, Any] = super().infer(self._addressed(request), datastore)
        return result

    def answer(self, request: Mapping[str, Any]) -> tuple[bytes | None, dict[str, Any]]:
        """As `infer`, without a file: the content of the mask's file (None if not requested), and the JSON result."""
        content: tuple[bytes | None, dict[str, Any]] = self._infers[request["model"]].content(self._addressed(request))
        return content

    def _addressed(self, request: Mapping[str, Any]) -> dict[str, Any]:
        request = {**request, "image_id": None, "label_tag": DefaultLabelTag.ORIGINAL.value}
        session, image = request.get("session"), request.get("image")
        if session:
            name = session.get("name") if isinstance(session, Mapping) else session
            known = self.sessions() and self.sessions().get_session(str(name))
            if not known or known.image != image:
                raise UnknownName(f"session {quoted(name)} does not exist; open one with PUT /session/")
            request["image_path"] = known.image
        else:
            request["image_path"] = str(self._datastore.image_path(image))
            request["image_id"] = image
        return request

    def infer_dicom_seg(self, request: Mapping[str, Any]) -> Path:
        """As `infer`, for a DICOM series: the path of the mask as DICOM SEG. The caller removes the file.

        Raises
        ------
        InputError
            if the image is not a series, or the mask is empty.
        """
        image, model = str(request["image"]), str(request["model"])
        if not self._datastore.is_series(image):
            raise InputError("output=dicom_seg needs an image that is a DICOM series; ask for output=image")
        result = self.infer({**request, "result_extension": ".nii.gz", "result_write_to_file": True})
        mask = Path(result["file"])
        version = result["params"]["model_version"] or self.version
        clicked = isinstance(self._infers[model], DelineateClick)
        maker = Maker("SEMIAUTOMATIC", version, str(request["user"])) if clicked else Maker("AUTOMATIC", version)
        names = {value: name for name, value in self.settings.labels.items()}
        path = mask.with_name(f"{mask.name}.dcm")
        try:
            self._datastore.write_dicom_seg(image, mask, names, maker, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            mask.unlink(missing_ok=True)
        return path

    def infer_wsi(self, request: Mapping[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Refuse inference on pathology slides, for which MONAI Label would open any file."""
        raise InputError("this app segments PET volumes, not slides; use POST /infer/{model}")

    def batch_infer(self, request: Mapping[str, Any], datastore: Any = None) -> dict[str, Any]:
        """MONAI Label's `batch_infer` on one device: with several, it divides by the number of GPUs, which may be 0."""
        results: dict[str, Any] = super().batch_infer({**request, "multi_gpu": False}, datastore)
        return results

    def check_training(self, model: str, request: Mapping[str, Any]) -> None:
        """Raise the InputError with which a training would fail, before it is started."""
        if model not in self._trainers:
            raise UnknownName(f"train task {quoted(model)} does not exist; GET /info/ lists them")
        self._trainers[model].check(request, self._datastore)
