"""Run the CAM network on a scan's MIPs at one or several scales: class probabilities and 3D findings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from wslpet.core.arrays import Array
from wslpet.core.limits import CORES
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.inference.finding.candidates import Candidate, candidates
from wslpet.method.inference.finding.maps import lesion_maps
from wslpet.method.inference.localisation import CamPoints, Finding, ScaleOutput
from wslpet.method.network.cam import Cams, normalise, view_cam
from wslpet.method.network.checkpoint import Model
from wslpet.method.network.coarse_segmenter import CoarseNet
from wslpet.method.network.inputs import Batch, Example, collate
from wslpet.method.projection.mip import VIEWS, GridImage, Projection, Views, to_grid

# Confidence from which other scales do not change the result; chosen on phantoms.
SURE = 0.9
_switching = threading.Lock()


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """Output of the network for one scan.

    Parameters
    ----------
    projections : view → the MIP it was computed from.
    scale_outputs : one for each scale, that of training in the middle.
    probabilities : class → probability.
    segmenter : of all lesions, see `Model`.
    """

    projections: dict[str, Projection]
    scale_outputs: list[ScaleOutput]
    probabilities: dict[str, float]
    segmenter: CoarseNet | None = None
    _candidates: list[list[Candidate]] = field(default_factory=list, init=False, repr=False)

    @property
    def main(self) -> ScaleOutput:
        """The output at the middle scale, which is that of training."""
        return self.scale_outputs[len(self.scale_outputs) // 2]

    @property
    def cancer_type(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def tumour_type(self) -> str:
        """The most probable type of tumour, whether or not "no tumour" is more probable."""
        return max((name for name in self.probabilities if name != NO_TUMOUR), key=self.probabilities.__getitem__)

    @cached_property
    def cam_points(self) -> CamPoints | None:
        """The back-projected CAMs of the most probable type; None for "no tumour"."""
        if self.cancer_type == NO_TUMOUR:
            return None
        return CamPoints.from_outputs(
            self.scale_outputs, list(self.probabilities).index(self.cancer_type), self.projections
        )

    @cached_property
    def findings(self) -> list[Finding]:
        """Strongest points of the 3D map of the most probable type, best first; empty for "no tumour"."""
        return [] if self.cam_points is None else self.cam_points.findings()

    def candidates(self, ras: Volume) -> list[Candidate]:
        """What may be a lesion, see `finding.candidates`, in the volume of the projections; computed once."""
        if not self._candidates:
            self._candidates.append(candidates(ras, lesion_maps(ras, self.segmenter), self.cam_points, self.findings))
        return self._candidates[0]

    @property
    def confidence(self) -> float:
        """Confidence of the strongest finding, as defined in `Result` for the selected one."""
        share = self.findings[0].share if self.findings else 1.0
        return self.probabilities[self.cancer_type] * share

    def normalised(self, cancer_type: str) -> dict[str, Array]:
        """View → normalised CAM (eq. 1) of a type, (u, z) in [0, 1]; empty for a type that is not learned."""
        if cancer_type not in self.probabilities:  # a click on "no tumour", when that is not a class
            return {}
        number = list(self.probabilities).index(cancer_type)
        maps = {"coronal": self.main.cams.coronal[0, number], "sagittal": self.main.cams.sagittal[0, number]}
        return {view: normalise(maps[view]).cpu().numpy() for view in VIEWS}


def run_network(views: Views, model: Model) -> NetworkOutput:
    """Run the network on both projections of a scan, at one scale or, where that leaves doubt, at several.

    The first is the scale of training. The others of `test_time_scales` follow when its confidence is below `SURE`.
    """
    grids = [replace(model.settings, grid_mm=model.settings.grid_mm * zoom) for zoom in model.settings.test_time_scales]
    middle = len(grids) // 2
    with ThreadPoolExecutor(CORES) as pool:
        scale_outputs = _scale_outputs(views, grids[middle : middle + 1], model, pool)
        output = _network_output(views, scale_outputs, model)
        if len(grids) == 1 or output.confidence >= SURE:
            return output
        around = _scale_outputs(views, grids[:middle] + grids[middle + 1 :], model, pool)
    return _network_output(views, around[:middle] + scale_outputs + around[middle:], model)


def _scale_outputs(views: Views, grids: list[Settings], model: Model, pool: ThreadPoolExecutor) -> list[ScaleOutput]:
    @torch.inference_mode()
    def cam_of(job: tuple[Batch, str, Settings]) -> torch.Tensor:
        return view_cam(model.network, *job)

    images = [dict(zip(VIEWS, to_grid(views, grid.grid_mm, pool.map), strict=True)) for grid in grids]
    batches = [_batch(own, grid, model) for own, grid in zip(images, grids, strict=True)]
    jobs = [(batch, view, grid) for batch, grid in zip(batches, grids, strict=True) for view in VIEWS]
    if model.device.type == "cpu":
        maps = pool.map(cam_of, jobs)
    else:
        with without_cudnn():
            maps = iter([cam_of(job) for job in jobs])
    cams = [Cams(next(maps), next(maps), grid.grid_mm * grid.stride) for grid in grids]
    return list(map(ScaleOutput, images, cams))


@torch.inference_mode()
def _network_output(views: Views, scale_outputs: list[ScaleOutput], model: Model) -> NetworkOutput:
    pooling = model.settings.pooling
    scores = torch.stack([output.cams.type_scores(pooling)[0] for output in scale_outputs]).mean(dim=0)
    probabilities = dict(zip(model.settings.classes, scores.softmax(dim=0).tolist(), strict=True))
    return NetworkOutput(dict(zip(VIEWS, views, strict=True)), scale_outputs, probabilities, model.segmenter)


def _batch(images: dict[str, GridImage], grid: Settings, model: Model) -> Batch:
    # On a grid finer than that of training, the body is larger in pixels, and its depth is scaled alike.
    zoom = np.float32(model.settings.grid_mm / grid.grid_mm)
    channels = {view: np.stack([image.mip, image.depth_mm * zoom]) for view, image in images.items()}
    return collate([Example(channels, None, grid.classes[0]).to(model.device)], grid)


@contextmanager
def without_cudnn() -> Iterator[None]:
    """Run the block without cuDNN.

    cuDNN chooses its algorithms anew for each image size and in each thread, which takes longer than the inference of
    one scan. Without it, the results of GPU and CPU differ by rounding alone. The switch belongs to the process, so
    one thread holds it at a time.
    """
    with _switching, torch.backends.cudnn.flags(enabled=False):
        yield
