"""Check of the server's address before anything is loaded."""

from __future__ import annotations

import errno
import socket

from wslpet.core.errors import InputError


def check_port(host: str, port: int) -> None:
    """Raise InputError, with a remedy, when a server cannot listen at an address."""
    if not 1 <= port <= 65535:
        raise InputError(f"port {port} is not a number from 1 to 65535; try --port 8001")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"host {host} is no name of this computer ({error.strerror}); try --host 127.0.0.1") from error
    with socket.socket(family, kind) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do, so that a port of a server that has just ended is free
        try:
            probe.bind(address)
        except OSError as error:
            raise InputError(_said(error, host, port)) from error


def reachable(host: str) -> str:
    """Address of a server as a browser needs it, with IPv6 in brackets."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _said(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        another = port + 1 if port < 65535 else 8001
        remedy = f"stop it, or add --port {another} (make: PORT={another})"
        return f"port {port} on {host} is in use, maybe by a server that still runs; {remedy}"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is for the superuser only; try --port 8000"
    return f"{host}:{port} is no address of this computer ({error.strerror}); try --host 127.0.0.1"
