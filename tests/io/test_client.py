"""The client of a server: without torch, and with the answers of the package."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.app_server import ROOT, Server
from tests.helpers.synthetic import write_scan
from wslpet.core.errors import InputError
from wslpet.io.client import Client
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.network.checkpoint import load_model


def test_the_client_loads_neither_torch_nor_numpy():
    code = "import sys, wslpet.io.client; print({'torch', 'numpy', 'requests'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.slow
def test_clicks_and_finds(tmp_path):
    (tmp_path / "scans").mkdir()
    scan = write_scan(tmp_path / "scans", "a scan", "anisotropic", "oesophagus")
    (tmp_path / "scratch").mkdir()
    running = Server(tmp_path / "scans", tmp_path / "scratch", {"use_pretrained_model": "true"}).start()
    try:
        server = Client(running.url)
        assert server.images() == ["a scan"]
        answer = server.click("a scan", "oesophagus", scan.click)
        assert answer["cancer_type"] == "oesophagus" and answer["mtv_ml"] > 0
        assert [seed["cancer_type"] for seed in server.seeds("a scan")] == ["oesophagus"]
        volume = read_volume(scan.path)
        expected = find_lesions(volume, load_model())
        assert server.find("a scan")["cancer_type"] == expected.cancer_type
        mask = read_mask(server.write_mask("a scan", tmp_path / "mask.nii.gz"), volume)
        assert expected.mask.array.any() and np.array_equal(mask.array, expected.mask.array)
        lesions = read_mask(server.download("a scan", tmp_path / "lesions.nii.gz"), volume)
        assert lesions.array[tuple(scan.click)] == 1
        (row,) = csv.DictReader(server.download("a scan", tmp_path / "lesions.csv", "csv").open(encoding="utf-8"))
        assert float(row["volume_ml"]) == pytest.approx(answer["mtv_ml"], rel=1e-3)
        with pytest.raises(InputError, match=r"refused \(400\): .*DICOM"):
            server.download("a scan", tmp_path / "rtstruct.dcm", "rtstruct")
        with pytest.raises(InputError, match="No Train Tasks Found"):
            server.training()
        with pytest.raises(InputError, match=r"refused \(404\): "):
            server.find("nobody")
        with pytest.raises(InputError, match=r"refused \(400\): .*melanoma"):
            server.click("a scan", "melanoma", scan.click)
    finally:
        running.stop()
    with pytest.raises(InputError, match="does not answer"):
        server.images()


@pytest.mark.slow
def test_the_notebook_runs_as_it_stands(tmp_path, monkeypatch):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scratch").mkdir()
    rows = ["image,cancer_type,i,j,k"]
    for n, cancer_type in enumerate(("lung", "oesophagus") * 2):
        scan = write_scan(tmp_path / "scans", f"patient-{n}", "lps", cancer_type, shift=(0, 6 * n, 0))
        rows.append(",".join(map(str, (scan.name, cancer_type, *scan.click))))
    (tmp_path / "clicks.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "reference" / "server.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    running = Server(tmp_path / "scans", tmp_path / "scratch", {"use_pretrained_model": "true"}).start()
    names: dict[str, object] = {}
    try:
        for cell in cells:
            exec(cell.replace("http://127.0.0.1:8000", running.url), names)
        assert [len(Client(running.url).seeds(f"patient-{n}")) for n in range(4)] == [1, 1, 1, 1]
    finally:
        running.stop()
    assert names["training"]["status"] == "DONE", names["training"]
    assert names["mask"].stat().st_size > 0
    assert len(names["table"].read_text(encoding="utf-8").splitlines()) == 5


def test_an_invalid_address_is_refused():
    with pytest.raises(InputError, match=r"^127.0.0.1:8000 is not the address"):
        Client("127.0.0.1:8000")
