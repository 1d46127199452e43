"""The model for other software: a MONAI Bundle and an ONNX file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError
from wslpet.method.network.checkpoint import Model, save_model
from wslpet.method.network.coarse_segmenter import CHANNELS, GRID_MM, MULTIPLE, SATURATION_SUV, load_network
from wslpet.method.network.inputs import DEPTH_SCALE_MM

ONNX_OPSET = 17
# `python -m monai.bundle run run --config_file configs/inference.json --bundle_root . --scan S --mask M`
INFERENCE: dict[str, Any] = {
    "imports": ["$import pathlib", "$from wslpet.io.masks import write_mask"],
    "bundle_root": ".",
    "scan": "scan.nii.gz",
    "mask": "mask.nii.gz",
    "device": "cpu",
    "model": {"_target_": "wslpet.load_model", "path": "$@bundle_root + '/models/model.pt'", "device": "@device"},
    "volume": {"_target_": "wslpet.read_scan", "path": "@scan"},
    "result": {"_target_": "wslpet.find_lesions", "volume": "@volume", "model": "@model"},
    "run": ["$write_mask(@result.mask, pathlib.Path(@mask))"],
}


def export_bundle(model: Model, folder: Path, version: str, card: Path | None = None) -> None:
    """Write a MONAI Bundle: metadata, inference configuration, weights and model card.

    The configuration calls this package, since projection and delineation are no network.

    Raises
    ------
    InputError
        when the folder exists.
    """
    if folder.exists():
        raise InputError(f"{folder} exists; give the bundle a new folder")
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True)
    for name, content in (("metadata", bundle_metadata(model, version)), ("inference", INFERENCE)):
        (folder / "configs" / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    save_model(model, folder / "models" / "model.pt")
    if card is not None and card.exists():
        shutil.copyfile(card, folder / "docs" / "README.md")


def bundle_metadata(model: Model, version: str) -> dict[str, Any]:
    """Metadata of the bundle, by MONAI's schema of 2022-03-24."""
    schema = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json"
    classes = {str(n): name for n, name in enumerate(("background", *model.settings.labels))}
    scan = {"type": "image", "format": "magnitude", "modality": "PT", "num_channels": 1, "spatial_shape": ["*"] * 3}
    mask = {**scan, "format": "segmentation", "dtype": "uint8", "value_range": [0, len(classes) - 1]}
    return {
        "schema": schema,
        "version": version,
        "changelog": {version: f"weights {model.version}"},
        "monai_version": "1.6.1",
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": "2.2.6",
        "required_packages_version": {"wslpet": version},
        "task": "Weakly supervised tumour detection in FDG PET",
        "description": "CAM network on two maximum intensity projections, and delineation of the lesion in 3D",
        "authors": "the authors of WSL-PET",
        "copyright": "Apache 2.0",
        "intended_use": "Research only; not for diagnosis or treatment",
        "network_data_format": {
            "inputs": {"image": {**scan, "dtype": "float32", "value_range": [0, 1000], "is_patch_data": False}},
            "outputs": {"pred": {**mask, "is_patch_data": False, "channel_def": classes}},
        },
    }


def export_onnx(model: Model, path: Path) -> None:
    """Write both networks as ONNX: the CAM network, and the segmenter beside it as `segmenter_path`.

    Beside each, as JSON, stands what its inputs and outputs mean. Projection and delineation are no network: with
    these files in the place of the package's networks, its masks are the same.

    CAM network: input "images" (n, channel, u, z) float32, u and z multiples of the stride; output "cams" (n, class,
    u / stride, z / stride), the unnormalised CAMs of every class. Segmenter: input "images" (n, channel, row, column)
    float32, rows and columns multiples of `MULTIPLE`; output "logits" (n, row, column) of a lesion. Any number of
    images of any such size.

    Raises
    ------
    InputError
        when the package onnx is not installed.
    """
    try:
        import onnx  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise InputError("ONNX export needs the package onnx; run: pip install onnx") from error
    channels, stride = 2 + model.settings.depth, model.settings.stride
    example = torch.zeros(2, channels, 8 * stride, 16 * stride, device=model.device)
    axes = {"images": {0: "n", 2: "u", 3: "z"}, "cams": {0: "n", 2: "u_cam", 3: "z_cam"}}
    about: dict[str, Any] = {
        "version": model.version,
        "classes": list(model.settings.classes),
        "channels": ["MIP scaled to 0..1", "view: 0 coronal, 1 sagittal", f"depth / {DEPTH_SCALE_MM:g} mm"][:channels],
        "settings": model.settings.to_dict(),
    }
    _write_onnx(model.network, example, axes, path, about)
    example = torch.zeros(2, CHANNELS, 8 * MULTIPLE, 4 * MULTIPLE)
    axes = {"images": {0: "n", 2: "row", 3: "column"}, "logits": {0: "n", 1: "row", 2: "column"}}
    about = {
        "version": model.version,
        "channels": ["square root of the uptake", "row from the first of the body", "column from the uptake's middle"],
        "grid_mm": GRID_MM,
        "saturation_suv": SATURATION_SUV,
    }
    _write_onnx(model.segmenter or load_network(), example, axes, segmenter_path(path), about)


def segmenter_path(path: Path) -> Path:
    """Path of the segmenter's ONNX file beside the CAM network's: model.onnx → model-segmenter.onnx."""
    return path.with_name(f"{path.stem}-segmenter{path.suffix}")


def _write_onnx(
    network: nn.Module, example: Tensor, axes: dict[str, dict[int, str]], path: Path, about: dict[str, Any]
) -> None:
    """Write a network whose axes that have a name are of any size, and a JSON file about it."""
    images, output = axes
    with replacing(path) as part:
        torch.onnx.export(
            network,
            (example,),
            str(part),
            input_names=[images],
            output_names=[output],
            dynamic_axes=axes,
            opset_version=ONNX_OPSET,
            dynamo=False,
        )
    path.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
