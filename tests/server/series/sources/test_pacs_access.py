"""A PACS that asks for a login, and a server without access to the internet."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.dicom_patients import write_patient
from tests.helpers.needs import needs_pacs
from tests.helpers.pacs_server import info_of, listed, serve
from wslpet.cli.demo.orthanc import Orthanc

pytestmark = needs_pacs


@pytest.mark.slow
def test_a_pacs_with_a_login(tmp_path):
    patient = write_patient(tmp_path, "secret")
    pacs = Orthanc(tmp_path / "orthanc", login=("reader", "its password")).start()
    try:
        pacs.upload(patient.files)
        login = {"MONAI_LABEL_DICOMWEB_USERNAME": "reader", "MONAI_LABEL_DICOMWEB_PASSWORD": "its password"}
        server = serve(pacs, tmp_path, "right", **login).start()
        try:
            assert "suv" in info_of(server, patient.uid)
        finally:
            server.stop()
        server = serve(pacs, tmp_path, "wrong", **{**login, "MONAI_LABEL_DICOMWEB_PASSWORD": "guess"}).start()
        try:
            assert listed(server) == set()
            assert "refused the login (401)" in server.info()["datastore"]["trouble"]
        finally:
            server.stop()
    finally:
        pacs.stop()


def _can_cut_the_network() -> bool:
    unshare = shutil.which("unshare")
    return bool(unshare) and subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not _can_cut_the_network(), reason="needs the right to make a network namespace")
def test_the_server_starts_without_the_internet_and_without_dcmqi(tmp_path):
    """Server and its questioner in a network of their own, which has loopback only, where nothing answers."""
    environment = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(tmp_path / "cache"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    ask = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[4])!r})
from pathlib import Path
from tests.helpers.app_server import Server
from tests.helpers.dicom_patients import write_patient
from tests.helpers.pacs_server import info_of, listed, serve
from wslpet.cli.demo.orthanc import Orthanc
import requests
folder = Path({str(tmp_path)!r})
try:
    requests.get("http://192.0.2.1", timeout=3)
except requests.ConnectionError:
    print("no internet")
patient = write_patient(folder, "alone")
pacs = Orthanc(folder / "orthanc").start()
server = None
try:
    pacs.upload(patient.files)
    server = Server(pacs.dicomweb, folder / "scratch", settings={environment!r}).start()
    info = requests.get(server.url + "/datastore/image/info", params={{"image": patient.uid}}, timeout=60).json()
    print(server.info()["datastore"]["total"], info["suv"]["units"])
finally:
    if server is not None:
        server.stop()
    pacs.stop()
"""
    command = ["unshare", "-n", "sh", "-c", 'ip link set lo up 2>/dev/null || ifconfig lo up; exec "$@"', "sh"]
    done = subprocess.run(
        [*command, sys.executable, "-c", ask], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout.split("\n")[:2] == ["no internet", "1 BQML"], done.stdout + done.stderr[-3000:]
