"""The exported model gives the masks that the package gives."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wslpet.cli.main import main
from wslpet.core.errors import InputError
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.phantom.cohort import save_scan
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.network.checkpoint import load_model
from wslpet.method.network.coarse_segmenter import CoarseNet
from wslpet.method.network.export import export_bundle, export_onnx, segmenter_path


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    save_scan(make_patient(7, PRESETS["plain"]).volume, path)
    return path


@pytest.mark.slow
def test_a_bundle_writes_the_mask_of_the_package(scan, tmp_path):
    pytest.importorskip("monai")
    assert main(["export", "bundle", str(tmp_path / "bundle")]) == 0
    code = "import monai.bundle, sys; monai.bundle.run('run', config_file='configs/inference.json', scan=sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(scan)], cwd=tmp_path / "bundle", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    volume = read_volume(scan)
    expected = find_lesions(volume, load_model()).mask.array
    assert expected.any()
    assert np.array_equal(read_mask(tmp_path / "bundle" / "mask.nii.gz", volume).array, expected)


def test_the_metadata_names_weights_and_labels(tmp_path):
    model = load_model()
    export_bundle(model, tmp_path / "bundle", "2.0")
    metadata = json.loads((tmp_path / "bundle/configs/metadata.json").read_text())
    output = metadata["network_data_format"]["outputs"]["pred"]
    assert output["channel_def"] == {"0": "background", "1": "lung", "2": "oesophagus"}
    assert metadata["changelog"][metadata["version"]] == f"weights {model.version}"
    assert load_model(tmp_path / "bundle/models/model.pt").version == model.version
    with pytest.raises(InputError, match=r"bundle exists; give the bundle a new folder"):
        export_bundle(model, tmp_path / "bundle", "2.0")


class OnnxNetwork(torch.nn.Module):
    """An exported file in the place of its network."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.device_of = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(None, {"images": images.numpy()})[0])


def test_onnx_gives_the_mask_of_the_package(scan, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = load_model()
    path = tmp_path / "model.onnx"
    export_onnx(model, path)
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["version"] == model.version and about["classes"] == ["lung", "oesophagus"]
    assert json.loads((tmp_path / "model-segmenter.json").read_text())["grid_mm"] == 4.0
    exported = replace(model, network=OnnxNetwork(path), segmenter=OnnxNetwork(segmenter_path(path)))
    volume = read_volume(scan)
    expected, found = find_lesions(volume, model), find_lesions(volume, exported)
    assert expected.mask.array.any() and np.array_equal(found.mask.array, expected.mask.array)
    assert found.type_probabilities == pytest.approx(expected.type_probabilities, abs=1e-4)
    assert found.lesion_probability == pytest.approx(expected.lesion_probability, abs=1e-4)


def test_the_segmenter_that_was_learned_on_site_is_the_one_exported(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    torch.manual_seed(3)
    learned = CoarseNet().eval()
    export_onnx(replace(load_model(), segmenter=learned), tmp_path / "model.onnx")
    # Neither the number of images nor their size is that of the example that was traced.
    images = torch.rand(3, 3, 96, 80)
    with torch.inference_mode():
        expected = learned(images).numpy()
    np.testing.assert_allclose(OnnxNetwork(tmp_path / "model-segmenter.onnx")(images), expected, atol=1e-4)


def test_onnx_asks_for_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match="pip install onnx"):
        export_onnx(load_model(), tmp_path / "model.onnx")
