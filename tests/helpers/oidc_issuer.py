"""A small OpenID Connect issuer: discovery, keys, and tokens for a name and a password, as Keycloak gives them."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT = "monailabel-app"
PASSWORD = "correct horse"


class Issuer:
    """Listens on 127.0.0.1 for as long as the `with` block runs. Every name has the password `PASSWORD`.

    `replaced` holds other answers: path → status and body.
    """

    def __init__(self) -> None:
        self.replaced: dict[str, tuple[int, bytes]] = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {"/realm/.well-known/openid-configuration": issuer._described, "/realm/keys": issuer._keys}
                self._answer(200, pages[self.path]()) if self.path in pages else self._answer(404, {})

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                if self.path != "/realm/token" or form.get("password") != [PASSWORD]:
                    self._answer(401, {"error": "invalid_grant"})
                    return
                name = form["username"][0]
                self._answer(200, {"access_token": issuer.token(name, f"monailabel-{name}"), "token_type": "Bearer"})

            def _answer(self, status: int, content: Any) -> None:
                status, body = issuer.replaced.get(self.path, (status, json.dumps(content).encode()))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/realm"

    def __enter__(self) -> Issuer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def claims(self, name: str, *roles: str, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "azp": CLIENT, "sub": name, "preferred_username": name, "iat": now, "exp": now + 600}
        return {**claims, "realm_access": {"roles": list(roles)}, **other}

    def token(self, name: str, *roles: str, **other: Any) -> str:
        """`other` claims replace the usual ones; those that are None are left out."""
        claims = {key: value for key, value in self.claims(name, *roles, **other).items() if value is not None}
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "one"})

    def _described(self) -> dict[str, str]:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "token_endpoint": f"{self.url}/token"}

    def _keys(self) -> dict[str, Any]:
        public = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}
