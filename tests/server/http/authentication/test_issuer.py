"""An OpenID Connect issuer that cannot be reached or answers nonsense, and logins by password."""

from __future__ import annotations

import json

import jwt
import pytest
from fastapi import HTTPException

from tests.helpers.accounts import app, bearer, use_issuer
from tests.helpers.oidc_issuer import PASSWORD
from wslpet.server.http import authentication
from wslpet.server.http.authentication import (
    log_in,
)

NO_ONE_LISTENS = "http://127.0.0.1:9/realm"


def test_an_unreachable_issuer_is_503_not_401(issuer, monkeypatch):
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
def test_an_invalid_answer_of_the_issuer_is_503_and_not_cached(accounts, issuer, monkeypatch, page, body, status):
    client, headers = app(), bearer(issuer.token("ada"))
    with monkeypatch.context() as broken:
        broken.setitem(issuer.replaced, page, (status, body))
        answer = client.get("/me", headers=headers)
        assert answer.status_code == 503 and "as OpenID Connect describes" in answer.json()["detail"]
    assert client.get("/me", headers=headers).status_code == 200


def test_invalid_renewed_keys_are_503(accounts, issuer, monkeypatch):
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
def test_a_refused_login_is_401_and_a_failed_issuer_503(accounts, issuer, monkeypatch, answered, status):
    monkeypatch.setitem(issuer.replaced, "/realm/token", answered)
    with pytest.raises(HTTPException) as refused:
        log_in("ada", PASSWORD)
    assert refused.value.status_code == status


def test_the_token_endpoint_is_read_at_each_login(accounts, issuer, monkeypatch):
    described = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys", "token_endpoint": NO_ONE_LISTENS}
    page = "/realm/.well-known/openid-configuration"
    with monkeypatch.context() as wrong:
        wrong.setitem(issuer.replaced, page, (200, json.dumps(described).encode()))
        with pytest.raises(HTTPException) as refused:
            log_in("ada", PASSWORD)
        assert refused.value.status_code == 503
    assert log_in("ada", PASSWORD)["token_type"] == "bearer"


def test_an_issuer_without_a_token_endpoint_verifies_tokens(accounts, issuer, monkeypatch):
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


def test_a_login_gives_a_valid_token(accounts):
    given = log_in("annotator", PASSWORD)
    assert given["token_type"] == "bearer"
    assert app().get("/annotator", headers=bearer(given["access_token"])).json() == "annotator"
    with pytest.raises(HTTPException) as refused:
        log_in("annotator", "guess")
    assert refused.value.status_code == 401 and "check name and password" in refused.value.detail
