"""A login server as MONAI Label asks one (OpenID Connect, as Keycloak has it): three people, three sets of roles."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

USER, ANNOTATOR, ADMIN = (f"monailabel-{role}" for role in ("user", "annotator", "admin"))
ROLES = {"vera": [USER], "ann": [USER, ANNOTATOR], "ada": [USER, ANNOTATOR, ADMIN]}
PASSWORD = "correct horse"


class Realm:
    """Running for as long as the `with` block; `settings` are MONAI Label's for it."""

    def __enter__(self) -> Realm:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        realm = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                realm._answer(self, realm._facts())

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                name, password = form["username"][0], form["password"][0]
                if name not in ROLES or password != PASSWORD:
                    realm._answer(self, {"error": "invalid_grant"}, 401)
                else:
                    realm._answer(self, {"access_token": realm.token(name), "token_type": "bearer"})

            def log_message(self, *said: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/realm"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()

    @property
    def settings(self) -> dict[str, str]:
        return {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": self.url}

    def token(self, name: str) -> str:
        payload = {"preferred_username": name, "email": "", "name": name, "realm_access": {"roles": ROLES[name]}}
        return jwt.encode(payload, self._key, algorithm="RS256")

    def _facts(self) -> dict[str, str]:
        encoding, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        lines = self._key.public_key().public_bytes(encoding, kind).decode().splitlines()
        return {"public_key": "".join(lines[1:-1]), "token_endpoint": f"{self.url}/token"}

    def _answer(self, handler: BaseHTTPRequestHandler, content: dict[str, str], status: int = 200) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        handler.wfile.write(json.dumps(content).encode())
