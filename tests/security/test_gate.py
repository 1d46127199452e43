"""The gate alone: origins, hosts and sizes; and that a real server stands behind it."""

from __future__ import annotations

import asyncio

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from wslpet.server.http.request_guard import RequestGuard, allowed_origins


async def _echo(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message["body"]
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(gate, headers=(), path="/", pieces=(b"",)):
    """Status, headers and body of a gate's answer."""
    sent, left = [], list(pieces)

    async def receive():
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    asyncio.run(gate({"type": "http", "path": path, "headers": raw}, receive, send))
    start, *bodies = sent
    return start["status"], dict(start["headers"]), b"".join(body["body"] for body in bodies)


HOST = ("Host", "127.0.0.1:8000")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("https://viewer.hospital.example", 200),
        ("https://evil.example", 403),
        ("http://127.0.0.1:9000", 403),
        ("https://viewer.hospital.example.evil.example", 403),
        ("http://viewer.hospital.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
        ("http://[::1", 403),
        ("http://[v1.x", 403),
    ],
)
def test_pages_of_other_origins_are_refused(origin, status):
    gate = RequestGuard(_echo, ["https://viewer.hospital.example"], {"localhost"})
    assert ask(gate, [HOST, ("Origin", origin)])[0] == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("10.1.2.3", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST:8000", 200),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("[", 421),
    ],
)
def test_a_name_that_is_not_the_servers_is_refused(host, status):
    assert ask(RequestGuard(_echo, hosts={"localhost"}), [("Host", host)])[0] == status
    assert ask(RequestGuard(_echo, hosts=None), [("Host", host)])[0] == 200


def test_body_sizes_are_limited_with_and_without_content_length():
    gate = RequestGuard(_echo, request_bytes=10, upload_bytes=100)
    assert ask(gate, pieces=[b"12345", b"67890"])[::2] == (200, b"1234567890")
    assert ask(gate, pieces=[b"12345", b"67890", b"1"])[0] == 413
    assert ask(gate, [("Content-Length", "11")])[0] == 413
    assert ask(gate, [("Content-Length", "-1")])[0] == 413
    assert ask(gate, [("Content-Length", "9" * 100)])[0] == 413
    assert ask(gate, [("Content-Length", "\u00b2")])[0] == 413
    for path in ("/datastore/image", "/datastore/label", "/datastore/", "/session/", "/model/wslpet"):
        assert ask(gate, [("Content-Length", "100")], path)[0] == 200
        assert ask(gate, path=path, pieces=[b"x" * 60, b"x" * 60])[0] == 413


@given(host=st.binary(max_size=40), origin=st.binary(max_size=40), length=st.binary(max_size=24))
@settings(deadline=None)
def test_headers_of_any_bytes_are_accepted_or_refused(host, origin, length):
    headers = [("Host", host), ("Origin", origin), ("Content-Length", length)]
    raw = [(name, value.decode("latin-1")) for name, value in headers]
    assert ask(RequestGuard(_echo, hosts={"localhost"}), raw)[0] in (200, 403, 413, 421)


def test_answers_have_security_headers():
    headers = ask(RequestGuard(_echo))[1]
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"


def test_origins_are_written_as_browsers_write_them():
    assert allowed_origins(["https://a.example/", "http://b.example:8000/"]) == [
        "https://a.example",
        "http://b.example:8000",
    ]


def test_the_server_shares_with_no_other_origin(clinic):
    url = f"{clinic.server.url}/info/"
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    answer = requests.options(url, headers=preflight, timeout=60)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers
    answer = requests.get(url, headers={"Origin": clinic.server.url}, timeout=60)
    assert answer.status_code == 200
    assert answer.headers.get("Access-Control-Allow-Origin") != "*"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
