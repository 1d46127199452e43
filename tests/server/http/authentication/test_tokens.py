"""The account of a bearer token: whose tokens are taken, and which roles their claims give."""

from __future__ import annotations

import base64
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.endpoints.user.auth import DEFAULT_USER, User

from tests.helpers.accounts import app, bearer
from tests.helpers.oidc_issuer import CLIENT, Issuer
from wslpet.server.http.authentication import (
    LEEWAY_SECONDS,
    require,
    user_of,
)

LADDER = ["monailabel-user", "monailabel-annotator", "monailabel-reviewer", "monailabel-admin"]
# A head of many nested lists.
DEEP = base64.urlsafe_b64encode(b"[" * 3000).decode()


def refusal(token: str) -> str:
    answer = app().get("/me", headers=bearer(token))
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    return answer.json()["detail"]


@pytest.mark.parametrize(
    ("held", "roles"),
    [
        ([], []),
        (LADDER[:1], LADDER[:1]),
        (LADDER[1:2], LADDER[:2]),
        (LADDER[2:3], LADDER[:3]),
        (LADDER[3:], LADDER),
        ([LADDER[2], LADDER[0], "offline_access"], LADDER[:3]),
        (["admin", "MONAILABEL-ADMIN", "monailabel-admin "], []),
        ([None, 3, ["monailabel-admin"], {"monailabel-admin": 1}], []),
        ("monailabel-admin", []),
        ({"monailabel-admin": True}, []),
        (None, []),
    ],
)
def test_a_role_includes_those_before_it(held, roles):
    assert user_of({"sub": "x", "realm_access": {"roles": held}}).roles == roles


@pytest.mark.parametrize("claims", [{}, {"realm_access": None}, {"realm_access": LADDER}, {"roles": LADDER}])
def test_roles_in_another_claim_are_ignored(claims):
    assert user_of(claims).roles == []


def test_the_claim_with_the_roles_is_a_setting(monkeypatch):
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_TOKEN_ROLES", "groups")
    assert user_of({"groups": ["monailabel-annotator"]}).roles == LADDER[:2]
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_TOKEN_ROLES", "a#b#c")
    assert user_of({"a": {"b": {"c": ["monailabel-user"]}}}).roles == LADDER[:1]


def test_the_name_of_an_account():
    assert user_of({"preferred_username": "ada", "sub": "17"}).username == "ada"
    assert user_of({"preferred_username": "", "sub": "17"}).username == "17"
    assert user_of({}).username == "unknown"
    assert user_of({"preferred_username": 12}).username == "12"
    assert user_of({"sub": "x" * 1000}).username == "x" * 100
    user = user_of({"email": "ada@example.org", "name": "Ada"})
    assert (user.email, user.name) == ("ada@example.org", "Ada")
    user = user_of({"email": ["ada@example.org"], "name": 3})
    assert (user.email, user.name) == (None, None)


def test_a_role_is_required():
    user = User(username="x", roles=LADDER[:2])
    require(user, "monailabel-annotator")
    with pytest.raises(HTTPException) as refused:
        require(user, "monailabel-admin")
    assert refused.value.status_code == 403 and '"monailabel-admin"' in refused.value.detail


def test_without_accounts_every_request_has_all_roles(monkeypatch):
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", False)
    client = app()
    for headers in ({}, bearer("a.b.c")):
        assert client.get("/me", headers=headers).json() == DEFAULT_USER.model_dump()
        for path in ("/user", "/annotator", "/admin", "/framework"):
            assert client.get(path, headers=headers).status_code == 200
    assert client.app.dependency_overrides == {}


@pytest.mark.parametrize("number", range(-1, 4))
def test_a_route_is_for_its_role_and_those_above(accounts, issuer, number):
    client, headers = app(), bearer(issuer.token("ada", *LADDER[number : number + 1] if number >= 0 else ()))
    assert client.get("/me", headers=headers).json()["roles"] == LADDER[: number + 1]
    for path, least in (("/user", 0), ("/annotator", 1), ("/framework", 2), ("/admin", 3)):
        answer = client.get(path, headers=headers)
        assert answer.status_code == (200 if number >= least else 403), path
        assert number < least or answer.json() == "ada"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer   ", "Basic YTpi", "Token x", "a.b.c"])
def test_without_a_bearer_token_there_is_no_account(accounts, header):
    for path in ("/me", "/framework"):
        answer = app().get(path, headers={"Authorization": header})
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json()["detail"].startswith("no token; log in")


def test_the_scheme_bearer_is_case_insensitive(accounts, issuer):
    for scheme in ("bearer", "BEARER", "Bearer  "):
        answer = app().get("/me", headers={"Authorization": f"{scheme} {issuer.token('ada')}"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://elsewhere.example"}, "another issuer made it"),
        ({"iss": None}, "it cannot be read"),
        ({"azp": "another-app"}, "it is for another client"),
        ({"azp": None}, "it is for another client"),
        ({"azp": None, "aud": CLIENT + "-2"}, "it is for another client"),
        ({"azp": None, "aud": ["account", "another-app"]}, "it is for another client"),
        ({"azp": [CLIENT]}, "it is for another client"),
        ({"azp": None, "aud": {CLIENT: 1}}, "it is for another client"),
        ({"azp": None, "aud": [[CLIENT], {}, None]}, "it is for another client"),
        ({"exp": None}, "it cannot be read"),
        ({"exp": "soon"}, "it cannot be read"),
        ({"iat": None}, "it cannot be read"),
    ],
)
def test_a_token_of_another_issuer_or_for_another_client_is_refused(accounts, issuer, claims, why):
    assert refusal(issuer.token("ada", "monailabel-admin", **claims)) == f"the token is not valid ({why}); log in again"


@pytest.mark.parametrize(
    "claims",
    [
        {"azp": None, "aud": CLIENT},
        {"azp": None, "aud": ["account", CLIENT]},
        {"azp": None, "client_id": CLIENT},
        {"aud": "account"},
        {"aud": ["account", None, 3, {}, []]},
        {"aud": {}},
        {"aud": 3},
    ],
)
def test_the_client_is_named_in_any_of_three_claims(accounts, issuer, claims):
    assert app().get("/me", headers=bearer(issuer.token("ada", **claims))).status_code == 200


def test_a_null_audience_is_ignored(accounts, issuer):
    token = jwt.encode({**issuer.claims("ada"), "aud": None}, issuer.key, algorithm="RS256", headers={"kid": "one"})
    assert app().get("/me", headers=bearer(token)).status_code == 200


def test_a_token_expires(accounts, issuer):
    now = int(time.time())
    assert "(it has expired)" in refusal(issuer.token("ada", exp=now - LEEWAY_SECONDS - 1))
    assert "not valid" in refusal(issuer.token("ada", nbf=now + 10 * LEEWAY_SECONDS))
    assert app().get("/me", headers=bearer(issuer.token("ada", exp=now - LEEWAY_SECONDS // 3))).status_code == 200


def test_a_token_not_signed_by_the_issuer_is_refused(accounts, issuer):
    claims, head = issuer.claims("ada", "monailabel-admin"), {"kid": "one"}
    with Issuer() as stranger:
        forged = jwt.encode(claims, stranger.key, algorithm="RS256", headers=head)
    assert "(its signature is wrong)" in refusal(forged)
    assert "not valid" in refusal(jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers=head))
    assert "not valid" in refusal(jwt.encode(claims, "a shared secret of 32 characters", "HS256", headers=head))
    assert "not valid" in refusal(jwt.encode(claims, None, algorithm="none", headers=head))
    assert "not valid" in refusal(jwt.encode(claims, issuer.key, algorithm="RS256", headers={"kid": "two"}))
    assert "not valid" in refusal(jwt.encode(claims, issuer.key, algorithm="RS256"))
    first, _, last = issuer.token("ada").split(".")
    other = issuer.token("ada", "monailabel-admin").split(".")[1]
    assert "(its signature is wrong)" in refusal(f"{first}.{other}.{last}")


@pytest.mark.parametrize(
    "token",
    ["x", "..", "a.b.c", "a.b.c.d", "e30.e30.e30", "bnVsbA.e30.x", "x" * 10_000, f"{DEEP}.e30.e30"],
)
def test_text_that_is_not_a_token_is_refused(accounts, token):
    assert refusal(token) == "the token is not valid (it cannot be read); log in again"
