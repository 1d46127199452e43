"""With accounts on: every route, MONAI Label's and ours, for every role, against a real OpenID Connect issuer."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import jwt
import pytest
import requests

from tests.helpers.app_server import ROOT, Server
from tests.helpers.oidc_issuer import PASSWORD, Issuer
from tests.helpers.synthetic import Scan, write_scan

ROLES = ("user", "annotator", "reviewer", "admin")
# The least role that a route is for; "anyone" needs no token. A route that is not here fails the test.
# All of them: with `--conf open_routes true`.
LEAST = {
    "anyone": """
        MOUNT /static /wslpet /docs/assets
        GET / /favicon.ico /docs /openapi.json /auth/
        HEAD / /docs /openapi.json
        POST /auth/token
    """,
    # An account without any role: who it is.
    "account": "GET /auth/token/valid",
    "user": """
        GET /info/ /batch/infer /train/ /scoring/ /datastore/ /datastore/image /datastore/image/info /datastore/label
        GET /datastore/label/info /session/{session_id} /ohif/{path:path}
        GET /proxy/dicom/{address:path} /proxy/dicom/{path:path}
        GET /proxy/dicom/wado/{path:path} /proxy/dicom/qido/{path:path} /proxy/dicom/stow/{path:path}
        POST /proxy/dicom/{address:path} /proxy/dicom/{path:path}
        POST /proxy/dicom/wado/{path:path} /proxy/dicom/qido/{path:path} /proxy/dicom/stow/{path:path}
        POST /infer/{model} /infer/wsi/{model} /infer/wsi_v2/{model} /activelearning/{strategy}
        PUT /session/
        DELETE /session/{session_id}
        HEAD /datastore/image /datastore/label
        GET /wslpet/api/configuration /wslpet/api/status /wslpet/api/cohort /wslpet/api/annotations.csv
        GET /wslpet/api/training /wslpet/api/images/{image} /wslpet/api/images/{image}/mips
        GET /wslpet/api/images/{image}/mips/{degrees} /wslpet/api/images/{image}/slices/{plane}/{index}
        GET /wslpet/api/images/{image}/ct/{plane}/{index}
        GET /wslpet/api/images/{image}/thumbnail /wslpet/api/images/{image}/prediction
        GET /wslpet/api/images/{image}/unusual
        GET /wslpet/api/images/{image}/annotations /wslpet/api/images/{image}/export
        GET /wslpet/api/lesions.csv /wslpet/api/patients.csv /wslpet/api/agreement /wslpet/api/agreement.csv
        GET /wslpet/api/images/{image}/readings /wslpet/api/masks.zip
        GET /wslpet/api/radiomics /wslpet/api/radiomics.csv
        POST /wslpet/api/radiomics
        DELETE /wslpet/api/radiomics
        POST /wslpet/api/next /wslpet/api/status /wslpet/api/images/{image}/delineation
    """,
    "annotator": """
        GET /datastore/dataset
        POST /scoring/ /scoring/{method}
        DELETE /scoring/
        PUT /datastore/ /datastore/image /datastore/image/info /datastore/label /datastore/label/info
        PUT /datastore/updatelabelinfo
        POST /wslpet/api/images/{image}/annotations /wslpet/api/images/{image}/annotations/withdraw
        POST /wslpet/api/annotations.csv /wslpet/api/images/{image}/remarks
    """,
    "admin": """
        GET /model/{model} /model/info/{model} /logs/ /logs/gpu
        PUT /model/{model}
        DELETE /model/{model} /train/ /batch/infer /datastore/ /datastore/image /datastore/label
        POST /train/ /train/{model} /batch/infer/{model} /reload /wslpet/api/training
        POST /wslpet/api/training/decision
        DELETE /wslpet/api/training
    """,
}
# Of those, what no viewer and no page calls, and so is not there without that setting.
CLOSED = """
    GET /batch/infer /datastore/dataset /datastore/label/info /logs/gpu /model/{model} /model/info/{model} /scoring/
    HEAD /datastore/image /datastore/label
    POST /batch/infer/{model} /infer/wsi/{model} /infer/wsi_v2/{model} /reload /scoring/ /scoring/{method}
    PUT /datastore/image/info /datastore/label/info /model/{model}
    DELETE /batch/infer /datastore/ /datastore/image /model/{model} /scoring/
"""


@dataclass(frozen=True)
class Hospital:
    """A server with accounts, the issuer of its tokens, and a scan on it."""

    server: Server
    issuer: Issuer
    scan: Scan

    def as_role(self, role: str) -> dict[str, str]:
        return self.with_token(self.issuer.token(role, f"monailabel-{role}"))

    def with_token(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def status(self, headers: dict[str, str], method: str = "GET", path: str = "/info/") -> int:
        return requests.request(method, self.server.url + path, headers=headers, timeout=60).status_code


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    yield from served(tmp_path_factory, {})


@pytest.fixture(scope="module")
def open_hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    yield from served(tmp_path_factory, {"open_routes": "true"})


def served(tmp_path_factory: pytest.TempPathFactory, conf: dict[str, str]) -> Iterator[Hospital]:
    studies = tmp_path_factory.mktemp("guarded")
    scan = write_scan(studies, "case")
    with Issuer() as issuer:
        settings = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": issuer.url}
        server = Server(studies, tmp_path_factory.mktemp("scratch"), conf, settings).start("/openapi.json")
        yield Hospital(server, issuer, scan)
        server.stop()


def least() -> dict[tuple[str, str], str]:
    return {route: role for role, lines in LEAST.items() for route in routes(lines)}


def routes(lines: str) -> set[tuple[str, str]]:
    return {(line.split()[0], path) for line in lines.strip().splitlines() for path in line.split()[1:]}


@pytest.mark.slow
def test_no_route_is_forgotten(tmp_path):
    command = [sys.executable, str(ROOT / "tests" / "security" / "list_routes.py"), str(ROOT / "apps" / "wslpet")]
    environment = {**os.environ, "MONAI_LABEL_AUTH_ENABLE": "true"}
    listed = subprocess.run(
        [*command, str(tmp_path)], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    line = next(line for line in listed.stdout.splitlines() if line.startswith("ROUTES "))
    assert {tuple(route) for route in json.loads(line.removeprefix("ROUTES "))} == set(least())


@pytest.mark.parametrize("role", ["none", *ROLES])
def test_every_route_requires_its_role(open_hospital, role):
    headers = {} if role == "none" else open_hospital.as_role(role)
    wrong = []
    for (method, path), needed in least().items():
        if method == "MOUNT" or (path == "/reload" and role == "admin"):
            continue
        status = open_hospital.status(headers, method, filled(path))
        refusal = expected_refusal(role, needed)
        right = status == refusal if refusal else status < 500 and status not in (401, 403)
        wrong += [] if right else [f"{method} {path} → {status}"]
    assert wrong == []


@pytest.mark.parametrize("role", ["none", "admin"])
def test_routes_without_a_client_are_closed_and_others_are_open(hospital, role):
    headers = {} if role == "none" else hospital.as_role(role)
    assert routes(CLOSED) < set(least())
    for method, path in sorted(routes(CLOSED)):
        answer = requests.request(method, hospital.server.url + filled(path), headers=headers, timeout=60)
        assert answer.status_code == 404, f"{method} {path} → {answer.status_code}"
        assert method == "HEAD" or "is closed" in answer.json()["detail"], f"{method} {path} → {answer.text}"
    for method, path in sorted(set(least()) - routes(CLOSED)):
        if method not in ("MOUNT", "HEAD"):
            answer = requests.request(method, hospital.server.url + filled(path), headers=headers, timeout=60)
            assert "is closed" not in answer.text, f"{method} {path} → {answer.text}"


def test_closed_routes_are_not_in_the_openapi_schema(hospital, open_hospital):
    described = []
    for server in (hospital.server, open_hospital.server):
        paths = requests.get(f"{server.url}/openapi.json", timeout=60).json()["paths"]
        described.append({(method.upper(), path) for path, methods in paths.items() for method in methods})
    default, opened = described
    assert default < opened
    assert opened - default <= routes(CLOSED)
    assert not default & routes(CLOSED)


def filled(path: str) -> str:
    """An address of a route."""
    for name in ("model", "strategy", "method", "session_id", "path:path", "address:path", "image", "degrees", "z"):
        path = path.replace(f"{{{name}}}", "nothing")
    return path


def expected_refusal(role: str, needed: str) -> int | None:
    if needed == "anyone":
        return None
    if role == "none":
        return 401
    return 403 if needed in ROLES and ROLES.index(role) < ROLES.index(needed) else None


def test_a_click_requires_the_role_annotator(hospital):
    url = f"{hospital.server.url}/infer/wslpet_seed?image=case&output=json"
    params = {"params": json.dumps({"lung": [hospital.scan.click], "client_id": "somebody else"})}
    refused = requests.post(url, data=params, headers=hospital.as_role("user"), timeout=120)
    assert refused.status_code == 403
    taken = requests.post(url, data=params, headers=hospital.as_role("annotator"), timeout=120)
    assert taken.status_code == 200, taken.text
    info = f"{hospital.server.url}/datastore/image/info?image=case"
    seeds = requests.get(info, headers=hospital.as_role("user"), timeout=60).json()["seeds"]
    assert [seed["user"] for seed in seeds] == ["annotator"]


def test_only_an_administrator_reloads(open_hospital):
    assert open_hospital.status(open_hospital.as_role("admin"), "POST", "/reload") == 200
    assert open_hospital.status(open_hospital.as_role("user")) == 200
    assert open_hospital.status({}) == 401


def test_a_name_and_a_password_give_a_token(hospital):
    url = f"{hospital.server.url}/auth/token"
    form = {"username": "annotator", "password": PASSWORD}
    answer = requests.post(url, data=form, timeout=60)
    assert answer.status_code == 200, answer.text
    assert hospital.status(hospital.with_token(answer.json()["access_token"])) == 200
    answer = requests.post(url, data={**form, "password": "guess"}, timeout=60)
    assert (answer.status_code, answer.json()["detail"]) == (401, "the login was refused; check name and password")


def test_tokens_of_other_issuers_or_clients_and_expired_ones_are_refused(hospital):
    issuer, role = hospital.issuer, "monailabel-admin"
    public = issuer.key.public_key()
    with Issuer() as stranger:
        refused = {
            "expired": issuer.token("x", role, exp=int(time.time()) - 60),
            "no expiry": issuer.token("x", role, exp=None),
            "other issuer": issuer.token("x", role, iss="https://elsewhere.example"),
            "other client": issuer.token("x", role, azp="another-app"),
            "other key": jwt.encode(issuer.claims("x", role), stranger.key, algorithm="RS256", headers={"kid": "one"}),
            "unknown key": jwt.encode(issuer.claims("x", role), stranger.key, algorithm="RS256", headers={"kid": "2"}),
            "no signature": jwt.encode(issuer.claims("x", role), None, algorithm="none", headers={"kid": "one"}),
            "public key as secret": _signed_with_public_key(issuer.claims("x", role), public),
            "no token": "",
            "nonsense": "a.b.c",
        }
    statuses = {what: hospital.status(hospital.with_token(token)) for what, token in refused.items()}
    assert statuses == dict.fromkeys(refused, 401)
    # Roles that are no list of roles are no roles.
    for claim in ({"realm_access": None}, {"realm_access": "monailabel-admin"}, {"realm_access": {"roles": None}}):
        assert hospital.status(hospital.with_token(issuer.token("x", **claim))) == 403
    assert hospital.status(hospital.with_token(issuer.token("x", role))) == 200


def _signed_with_public_key(claims, key) -> str:
    """The classic: HS256, with what everyone knows as the secret."""
    import hashlib
    import hmac

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def packed(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    secret = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = {"alg": "HS256", "typ": "JWT", "kid": "one"}
    text = b".".join(packed(json.dumps(part).encode()) for part in (head, claims))
    return b".".join([text, packed(hmac.new(secret, text, hashlib.sha256).digest())]).decode()
