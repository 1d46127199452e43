"""Scans stored in every way, and a server on them whose API is asked without a browser."""

import pytest
import requests

from tests.helpers.app_server import Server
from tests.helpers.synthetic import ORIENTATIONS, write_scan


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    studies = tmp_path_factory.mktemp("studies")
    return {name: write_scan(studies, name, name) for name in ORIENTATIONS}


@pytest.fixture(scope="module")
def server(scans, tmp_path_factory):
    server = Server(scans["ras"].path.parent, tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ask(server):
    def ask(path, method="GET", status=200, **body):
        answer = requests.request(method, f"{server.url}/wslpet/api/{path}", timeout=60, **body)
        assert answer.status_code == status, answer.text
        return answer

    return ask
