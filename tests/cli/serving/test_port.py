from __future__ import annotations

import socket
from pathlib import Path

import pytest

from wslpet.cli.serving.port import check_port
from wslpet.core.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_in_use_is_reported_in_one_sentence_with_the_remedy(taken, host):
    with pytest.raises(InputError, match=rf"port {taken} on {host} is in use.*--port {taken + 1}") as refused:
        check_port(host, taken)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1", 0, "port 0 is not a number from 1 to 65535"),
        ("127.0.0.1", 65536, "port 65536 is not a number"),
        ("no such host", 8000, "host no such host is no name"),
        ("192.0.2.1", 8000, "192.0.2.1:8000 is no address of this computer"),
    ],
)
def test_other_unusable_addresses_are_reported(host, port, said):
    with pytest.raises(InputError, match=said):
        check_port(host, port)


def test_a_free_port_stays_free(taken):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)
