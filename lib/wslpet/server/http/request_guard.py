"""ASGI middleware: checks origin, host and body size of each request, and adds security headers to each answer.

A server without accounts trusts every client. On 127.0.0.1 these are the person at the computer, and any web page that
this person opens: a page can post forms to other sites (cross-site request forgery), and its host name can be made to
resolve to 127.0.0.1 (DNS rebinding). Requests from pages of another origin are therefore refused, and so are requests
for a host name that is not one of this server. With accounts, every request needs a token, which browsers do not add by
themselves. Host names are not checked then, because behind a proxy the server does not know them.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from fastapi import FastAPI
from monailabel.config import settings
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wslpet.core.limits import MAX_REQUEST_BYTES, MAX_UPLOAD_BYTES
from wslpet.server.errors import quoted

# Paths that accept uploads of files. The annotation page's tables are smaller than other requests may be.
_UPLOADS = re.compile(r"/(datastore/(image|label)?|session/|model/[^/]*|proxy/dicom/.*)")
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"SAMEORIGIN",
    # A URL may contain the name of an image.
    b"referrer-policy": b"same-origin",
}


def allowed_origins(configured: Iterable[object]) -> list[str]:
    """Convert configured URLs to origins as browsers write them, without a slash at the end."""
    return [f"{(url := urlsplit(str(origin))).scheme}://{url.netloc}" for origin in configured]


def guard(server: FastAPI) -> None:
    """Install the guard, and replace MONAI Label's CORS origins `*` by the configured ones; may be called again."""
    origins = allowed_origins(settings.MONAI_LABEL_CORS_ORIGINS)
    hosts = None if settings.MONAI_LABEL_AUTH_ENABLE else own_names() | {str(urlsplit(o).hostname) for o in origins}
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type"],
    )
    # Compared by name: when the app is loaded again, this module is imported again, with new classes.
    replaced = (CORSMiddleware.__name__, RequestGuard.__name__)
    others = [m for m in server.user_middleware if getattr(m.cls, "__name__", "") not in replaced]
    server.user_middleware[:] = [Middleware(RequestGuard, origins=origins, hosts=hosts), cors, *others]


def own_names() -> set[str]:
    """Host names of this computer: localhost, its own name, and its name in the network."""
    return {name.lower() for name in ("localhost", socket.gethostname(), socket.getfqdn())}


class RequestGuard:
    """ASGI middleware that refuses requests by origin, host or body size.

    Parameters
    ----------
    app : the application behind it.
    origins : other origins whose pages may use the server, "https://host[:port]".
    hosts : accepted host names, beside all IP addresses; None accepts every name.
    upload_bytes, request_bytes : largest body of an upload, and of any other request.
    """

    def __init__(
        self,
        app: ASGIApp,
        origins: Collection[str] = (),
        hosts: Collection[str] | None = None,
        upload_bytes: int = MAX_UPLOAD_BYTES,
        request_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = None if hosts is None else frozenset(hosts)
        self._upload_bytes = upload_bytes
        self._request_bytes = request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        most = self._upload_bytes if _UPLOADS.fullmatch(scope["path"]) else self._request_bytes
        refusal = self._stranger(headers) or _too_long(headers, most)
        if refusal:
            await answer.refuse(*refusal)
            return
        await self._app(scope, _Bounded(receive, most, answer), answer)
        if answer.instead:
            await answer.refuse(*answer.instead)

    def _stranger(self, headers: dict[bytes, str]) -> tuple[int, str] | None:
        host = headers.get(b"host", "")
        if self._hosts is not None and not self._is_own(host):
            return 421, (
                f"host {quoted(host)} is no name of this server; open it by its IP address, or list its address in "
                "MONAI_LABEL_CORS_ORIGINS"
            )
        origin = headers.get(b"origin")
        if origin is None or origin in self._origins or _same_host(origin, host):
            return None
        return 403, f"a page of {quoted(origin)} may not use this server; list its origin in MONAI_LABEL_CORS_ORIGINS"

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in (self._hosts or ()) or _is_address(name)


class _Answer:
    """ASGI `send` that adds security headers, and can replace the answer by a refusal."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self.instead: tuple[int, str] | None = None

    async def __call__(self, message: Message) -> None:
        if self.instead:
            return
        if message["type"] == "http.response.start":
            self._begun = True
            given = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in _HEADERS.items() if name not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        await self._send(message)

    async def refuse(self, status: int, detail: str) -> None:
        if self._begun:
            return
        self.instead = None
        body = json.dumps({"detail": detail}, ensure_ascii=False).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


class _Bounded:
    """ASGI `receive` that ends the request when its body exceeds a size."""

    def __init__(self, receive: Receive, most: int, answer: _Answer) -> None:
        self._receive = receive
        self._most = most
        self._answer = answer
        self._came = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._came += len(message.get("body", b""))
        if self._came > self._most:
            self._answer.instead = _refused_size(self._most)
            return {"type": "http.disconnect"}
        return message


def _too_long(headers: dict[bytes, str], most: int) -> tuple[int, str] | None:
    length = headers.get(b"content-length", "0")
    is_number = length.isascii() and length.isdigit()  # "²" is a digit, and no number
    return _refused_size(most) if not is_number or int(length[:20]) > most else None


def _refused_size(most: int) -> tuple[int, str]:
    return 413, f"the request is larger than {most / 1e6:.0f} MB; send one scan a request, compressed"


def _same_host(origin: str, host: str) -> bool:
    """Whether an origin is that of the host itself; False for an origin that is not a URL."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
