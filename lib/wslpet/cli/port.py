"""Whether a server can have an address, told before anything is loaded: `python -m wslpet.cli.port HOST PORT`."""

from __future__ import annotations

import errno
import socket
import sys

from wslpet.core.errors import InputError


def check_port(host: str, port: int) -> None:
    """Raises InputError when a server cannot listen there, with what would help."""
    if not 1 <= port <= 65535:
        raise InputError(f"port {port} is not a number from 1 to 65535; try PORT=8001")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"host {host} is no name of this computer ({error.strerror}); try HOST=127.0.0.1") from error
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: one that has just ended is gone
        try:
            probe.bind(address)
        except OSError as error:
            raise InputError(_said(error, host, port)) from error


def _said(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        another = port + 1 if port < 65535 else 8001
        return f"port {port} on {host} is in use, maybe by a server that still runs; stop it, or add PORT={another}"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is for the superuser only; try PORT=8000"
    return f"{host}:{port} is no address of this computer ({error.strerror}); try HOST=127.0.0.1"


def main() -> int:
    host, port = sys.argv[1:]
    try:
        check_port(host, int(port) if port.isascii() and port.isdigit() else 0)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
