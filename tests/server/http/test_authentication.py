"""The account of a bearer token: whose tokens are taken, and which roles their claims give."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Annotated

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from monailabel.config import settings
from monailabel.endpoints.user.auth import DEFAULT_USER, RBAC, User

from tests.helpers.oidc_issuer import CLIENT, PASSWORD, Issuer
from wslpet.server.http import authentication
from wslpet.server.http.authentication import (
    LEEWAY_SECONDS,
    Administrator,
    Annotator,
    AnyUser,
    current_user,
    install,
    log_in,
    require,
    user_of,
)

LADDER = ["monailabel-user", "monailabel-annotator", "monailabel-reviewer", "monailabel-admin"]
# A head of many nested lists.
DEEP = base64.urlsafe_b64encode(b"[" * 3000).decode()
NO_ONE_LISTENS = "http://127.0.0.1:9/realm"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def accounts(issuer, monkeypatch) -> None:
    """Accounts are on, and the issuer is asked anew."""
    use_issuer(monkeypatch, issuer.url)


def use_issuer(monkeypatch, address: str) -> None:
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_REALM_URI", address)
    authentication._issuer.cache_clear()
    authentication._keys.cache_clear()


def app() -> TestClient:
    """Routes of ours for three roles, one for any account, and one with MONAI Label's own role check."""
    server = FastAPI()

    @server.get("/me")
    def me(user: Annotated[User, Depends(current_user)]) -> User:
        return user

    @server.get("/user")
    def for_users(user: AnyUser) -> str:
        return user.username

    @server.get("/annotator")
    def for_annotators(user: Annotator) -> str:
        return user.username

    @server.get("/admin")
    def for_administrators(user: Administrator) -> str:
        return user.username

    @server.get("/framework")
    def framework(user: Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_REVIEWER))]) -> str:
        return user.username

    install(server)
    return TestClient(server)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


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
def test_roles_elsewhere_are_none(claims):
    assert user_of(claims).roles == []


def test_the_place_of_the_roles_is_a_setting(monkeypatch):
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


def test_where_accounts_are_off_everyone_may_everything(monkeypatch):
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


def test_the_scheme_is_written_in_any_case(accounts, issuer):
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


def test_an_audience_of_null_is_none(accounts, issuer):
    token = jwt.encode({**issuer.claims("ada"), "aud": None}, issuer.key, algorithm="RS256", headers={"kid": "one"})
    assert app().get("/me", headers=bearer(token)).status_code == 200


def test_a_token_expires(accounts, issuer):
    now = int(time.time())
    assert "(it has expired)" in refusal(issuer.token("ada", exp=now - LEEWAY_SECONDS - 1))
    assert "not valid" in refusal(issuer.token("ada", nbf=now + 10 * LEEWAY_SECONDS))
    assert app().get("/me", headers=bearer(issuer.token("ada", exp=now - LEEWAY_SECONDS // 3))).status_code == 200


def test_a_signature_is_the_issuers(accounts, issuer):
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
def test_garbage_is_no_token(accounts, token):
    assert refusal(token) == "the token is not valid (it cannot be read); log in again"


def test_an_issuer_that_cannot_be_asked_is_not_the_tokens_fault(issuer, monkeypatch):
    for address in (NO_ONE_LISTENS, f"{issuer.url}/elsewhere"):
        use_issuer(monkeypatch, address)
        answer = app().get("/me", headers=bearer(issuer.token("ada")))
        assert answer.status_code == 503 and "MONAI_LABEL_AUTH_REALM_URI" in answer.json()["detail"]
        with pytest.raises(HTTPException) as refused:
            log_in("ada", PASSWORD)
        assert refused.value.status_code == 503


NO_OBJECT = [b"null", b"[]", b"[1]", b"3", b'"x"', b"", b"<html>", b"[" * 5000, b"\xff\xfe"]
NO_DESCRIPTION = [
    *NO_OBJECT,
    b"{}",
    b'{"issuer": null, "jwks_uri": null}',
    b'{"issuer": "", "jwks_uri": "http://127.0.0.1/keys"}',
    b'{"issuer": "x", "jwks_uri": ["http://127.0.0.1/keys"]}',
    b'{"issuer": "x", "jwks_uri": "file:///etc/passwd"}',
    b'{"issuer": "x", "jwks_uri": "http://[/keys", "token_endpoint": "http://[/token"}',
    b'{"issuer": "x", "jwks_uri": "http://", "token_endpoint": "http://"}',
    b'{"issuer": "x", "jwks_uri": "http://127.0.0.1:9/keys", "token_endpoint": "http://127.0.0.1:9/token"}',
]
NO_KEYS = [
    *NO_OBJECT,
    b"{}",
    b'{"keys": null}',
    b'{"keys": []}',
    b'{"keys": {}}',
    b'{"keys": [3]}',
    b'{"keys": [{}]}',
    b'{"keys": [{"kty": "RSA", "kid": "one"}]}',
    b'{"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0", "use": "enc"}]}',
]


@pytest.mark.parametrize(
    ("page", "body"),
    [
        *(("/realm/.well-known/openid-configuration", body) for body in NO_DESCRIPTION),
        *(("/realm/keys", body) for body in NO_KEYS),
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_an_issuer_that_answers_nonsense_is_not_the_tokens_fault_and_is_asked_again(
    accounts, issuer, monkeypatch, page, body, status
):
    client, headers = app(), bearer(issuer.token("ada"))
    with monkeypatch.context() as broken:
        broken.setitem(issuer.replaced, page, (status, body))
        answer = client.get("/me", headers=headers)
        assert answer.status_code == 503 and "as OpenID Connect describes" in answer.json()["detail"]
    assert client.get("/me", headers=headers).status_code == 200


def test_nonsense_in_place_of_renewed_keys_is_not_the_tokens_fault(accounts, issuer, monkeypatch):
    client = app()
    assert client.get("/me", headers=bearer(issuer.token("ada"))).status_code == 200
    monkeypatch.setattr(authentication._keys(f"{issuer.url}/keys"), "cooldown_duration", 0)
    monkeypatch.setitem(issuer.replaced, "/realm/keys", (200, b"null"))
    token = jwt.encode(issuer.claims("ada"), issuer.key, algorithm="RS256", headers={"kid": "two"})
    assert client.get("/me", headers=bearer(token)).status_code == 503


@pytest.mark.parametrize(
    ("answered", "status"),
    [
        *(((200, body), 503) for body in NO_OBJECT),
        ((200, b"{}"), 503),
        ((200, b'{"access_token": null}'), 503),
        ((200, b'{"access_token": ""}'), 503),
        ((200, b'{"access_token": ["x"]}'), 503),
        ((400, b'{"error": "invalid_grant"}'), 401),
        ((401, b"<html>"), 401),
        ((403, b""), 401),
        ((404, b"{}"), 503),
        ((500, b'{"access_token": "x"}'), 503),
    ],
)
def test_a_login_is_refused_or_the_issuer_is_at_fault(accounts, issuer, monkeypatch, answered, status):
    monkeypatch.setitem(issuer.replaced, "/realm/token", answered)
    with pytest.raises(HTTPException) as refused:
        log_in("ada", PASSWORD)
    assert refused.value.status_code == status


def test_where_to_log_in_is_asked_each_time(accounts, issuer, monkeypatch):
    described = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys", "token_endpoint": NO_ONE_LISTENS}
    page = "/realm/.well-known/openid-configuration"
    with monkeypatch.context() as wrong:
        wrong.setitem(issuer.replaced, page, (200, json.dumps(described).encode()))
        with pytest.raises(HTTPException) as refused:
            log_in("ada", PASSWORD)
        assert refused.value.status_code == 503
    assert log_in("ada", PASSWORD)["token_type"] == "bearer"


def test_an_issuer_without_logins_by_password_knows_tokens_all_the_same(accounts, issuer, monkeypatch):
    described = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
    page = "/realm/.well-known/openid-configuration"
    monkeypatch.setitem(issuer.replaced, page, (200, json.dumps(described).encode()))
    assert app().get("/me", headers=bearer(issuer.token("ada"))).status_code == 200
    with pytest.raises(HTTPException) as refused:
        log_in("ada", PASSWORD)
    assert refused.value.status_code == 503


def test_a_slash_after_the_issuers_address_does_not_matter(issuer, monkeypatch):
    use_issuer(monkeypatch, f"{issuer.url}/")
    assert app().get("/me", headers=bearer(issuer.token("ada"))).status_code == 200


def test_a_login_gives_a_token_that_is_taken(accounts):
    given = log_in("annotator", PASSWORD)
    assert given["token_type"] == "bearer"
    assert app().get("/annotator", headers=bearer(given["access_token"])).json() == "annotator"
    with pytest.raises(HTTPException) as refused:
        log_in("annotator", "guess")
    assert refused.value.status_code == 401 and "check name and password" in refused.value.detail
