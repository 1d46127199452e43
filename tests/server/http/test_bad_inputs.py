"""Each bad input of the table gets its status and its sentence, and the server goes on as before."""

import pytest
import requests

from tests.server.http.bad_inputs import IMAGE, REQUESTS, answer, table

TABLE = table()


def test_every_row_of_the_table_has_a_request():
    assert set(TABLE) == set(REQUESTS)
    assert len(TABLE) >= 60


@pytest.mark.parametrize("name", TABLE)
def test_bad_input(clinic, name):
    assert answer(name, clinic.server.url) == TABLE[name]


def test_the_server_answers_after_all_bad_inputs(clinic):
    assert requests.get(f"{clinic.server.url}/info/", timeout=60).ok
    assert clinic.server.seeds(IMAGE) == []
    objects = requests.get(f"{clinic.server.url}/datastore/?output=all", timeout=60).json()["objects"]
    assert set(objects) == set(clinic.scans)
    assert "Traceback" not in clinic.server.log.read_text()
