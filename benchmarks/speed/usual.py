"""MONAI Label's usual way from a file to a mask: transforms, a sliding-window UNet, inversion, a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

SPACING_MM = 2.0
ROI = (128, 128, 128)
CHANNELS = (16, 32, 64, 128, 256)


def seconds(path: Path, folder: Path, repeat: int, device: str = "cpu", spacing_mm: float = SPACING_MM) -> list[float]:
    """Of each run. Weights are random: what they are does not change how long it takes.

    Parameters
    ----------
    device : of the network and what comes after it; MONAI Label reads and resamples on the CPU.
    spacing_mm : of the volume that the network sees.
    """
    from monai.networks.nets import UNet

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = UNet(3, 1, 2, CHANNELS, (2, 2, 2, 2), num_res_units=2).eval().to(device)
    return [_once(path, folder, network, device, spacing_mm) for _ in range(repeat)]


def _once(path: Path, folder: Path, network: torch.nn.Module, device: str, spacing_mm: float) -> float:
    from monai.data import MetaTensor
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import (
        AsDiscreted,
        Compose,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        Orientationd,
        SaveImaged,
        ScaleIntensityRanged,
        Spacingd,
    )

    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS"),
            Spacingd("image", (spacing_mm,) * 3),
            ScaleIntensityRanged("image", 0, 30, 0, 1, clip=True),
        ]
    )
    after = Compose(
        [
            AsDiscreted("pred", argmax=True),
            Invertd("pred", before, "image", nearest_interp=True, to_tensor=True),
            SaveImaged("pred", output_dir=str(folder), separate_folder=False, print_log=False),
        ]
    )
    start = time.perf_counter()
    data: dict[str, Any] = before({"image": str(path)})
    with torch.inference_mode():
        found = SlidingWindowInferer(ROI, sw_batch_size=1, overlap=0.25)(data["image"][None].to(device), network)[0]
    data["pred"] = MetaTensor(found, meta=data["image"].meta, applied_operations=data["image"].applied_operations)
    after(data)
    return time.perf_counter() - start
