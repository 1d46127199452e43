"""Authentication with OpenID Connect: the account of a request's bearer token.

MONAI Label's own check asks PyJWT to verify a token without saying by which algorithms, which PyJWT refuses, and
takes a token of any issuer and for any client that the realm's key signed. Its place, FastAPI's dependency
`get_current_user`, which every route's role check hangs on, is taken by `current_user`.

Roles are MONAI Label's, and each includes the ones before it: user (look, infer), annotator (click, label, upload),
reviewer, admin (train, delete, weights, logs).
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import Annotated, Any

import jwt
import requests
from fastapi import Depends, FastAPI, HTTPException, Request
from monailabel.config import settings
from monailabel.endpoints.user import auth
from monailabel.endpoints.user.auth import DEFAULT_USER, User
from starlette.concurrency import run_in_threadpool

logger = logging.getLogger(__name__)

# Signatures by a public key: a shared secret is none the issuer could keep, "none" is none at all.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# Clocks differ.
LEEWAY_SECONDS = 30
_NEEDED = ("exp", "iat", "iss")


def install(server: FastAPI) -> None:
    """Where accounts are on, have the role check of MONAI Label's routes ask `current_user`, as that of ours does."""
    # Where there is any override, FastAPI examines each route's parameters anew at each request.
    if settings.MONAI_LABEL_AUTH_ENABLE:
        server.dependency_overrides[auth.get_current_user] = current_user


async def current_user(request: Request) -> User:
    """The account of the request's bearer token; MONAI Label's default user where accounts are off.

    Raises
    ------
    HTTPException
        401 without a token that the issuer signed for this server and that is still valid, 503 when the issuer
        cannot be asked for its keys.
    """
    if not settings.MONAI_LABEL_AUTH_ENABLE:
        return DEFAULT_USER
    return await run_in_threadpool(_account, request.headers.get("Authorization", ""))


def _account(authorization: str) -> User:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unknown("no token; log in, and send it as Authorization: Bearer TOKEN")
    try:
        return user_of(_claims(token.strip()))
    except jwt.PyJWKClientConnectionError as error:
        raise _unreachable(error) from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        logger.warning("a token was refused: %s", type(error).__name__)
        raise _unknown(f"the token is not valid ({_why(error)}); log in again") from error


@dataclass(frozen=True)
class _Holder:
    """The asking account, when it has a role; MONAI Label's RBAC for routes of ours."""

    role: str

    async def __call__(self, user: Annotated[User, Depends(current_user)]) -> User:
        require(user, self.role)
        return user


AnyUser = Annotated[User, Depends(_Holder(settings.MONAI_LABEL_AUTH_ROLE_USER))]
Annotator = Annotated[User, Depends(_Holder(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))]
Administrator = Annotated[User, Depends(_Holder(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))]


def require(user: User, role: str) -> None:
    """Raise HTTPException (403) when the account does not have a role; where accounts are off it has all."""
    if role not in user.roles:
        raise HTTPException(403, f'Role "{role}" is required to perform this action')


def user_of(claims: dict[str, Any]) -> User:
    """The account that verified claims speak of, with the roles that its highest role includes."""
    held: Any = claims
    for key in settings.MONAI_LABEL_AUTH_TOKEN_ROLES.split("#"):
        held = held.get(key) if isinstance(held, dict) else None
    held = held if isinstance(held, list) else []
    ladder = (
        settings.MONAI_LABEL_AUTH_ROLE_USER,
        settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
        settings.MONAI_LABEL_AUTH_ROLE_REVIEWER,
        settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    )
    highest = max((ladder.index(role) for role in held if role in ladder), default=-1)
    name = claims.get(settings.MONAI_LABEL_AUTH_TOKEN_USERNAME) or claims.get("sub")
    return User(
        username=str(name or "unknown")[:100],
        email=_text(claims.get(settings.MONAI_LABEL_AUTH_TOKEN_EMAIL)),
        name=_text(claims.get(settings.MONAI_LABEL_AUTH_TOKEN_NAME)),
        roles=list(ladder[: highest + 1]),
    )


def log_in(username: str, password: str) -> dict[str, Any]:
    """A token of the issuer for a name and a password, as 3D Slicer's module asks for one.

    Raises
    ------
    HTTPException
        401 when the issuer refuses them, 503 when it cannot be asked.
    """
    form = {
        "client_id": settings.MONAI_LABEL_AUTH_CLIENT_ID,
        "grant_type": "password",
        "username": username,
        "password": password,
    }
    try:
        issuer = _issuer(settings.MONAI_LABEL_AUTH_REALM_URI)
        answer = requests.post(issuer["token_endpoint"], data=form, timeout=settings.MONAI_LABEL_AUTH_TIMEOUT)
        content = answer.json()
    except (requests.RequestException, ValueError, KeyError) as error:
        raise _unreachable(error) from error
    if not answer.ok or "access_token" not in content:
        raise _unknown("the login was refused; check name and password")
    return {"access_token": str(content["access_token"]), "token_type": "bearer"}


def _claims(token: str) -> dict[str, Any]:
    try:
        issuer = _issuer(settings.MONAI_LABEL_AUTH_REALM_URI)
        keys = _keys(issuer["jwks_uri"])
    except (requests.RequestException, KeyError) as error:
        raise jwt.PyJWKClientConnectionError(str(error)) from error
    claims: dict[str, Any] = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=list(ALGORITHMS),
        issuer=issuer["issuer"],
        leeway=LEEWAY_SECONDS,
        options={"require": list(_NEEDED), "verify_aud": False},
    )
    audience = claims.get("aud", [])
    audiences = {audience} if isinstance(audience, str) else set(audience)
    # Keycloak names the client in `azp`, and other services in `aud`.
    if settings.MONAI_LABEL_AUTH_CLIENT_ID not in audiences | {claims.get("azp"), claims.get("client_id")}:
        raise jwt.InvalidAudienceError("it is for another client")
    return claims


@functools.lru_cache(maxsize=4)
def _issuer(address: str) -> dict[str, Any]:
    """The issuer's own description (OpenID Connect Discovery 1.0, section 4); kept once it was had."""
    answer = requests.get(
        f"{address.rstrip('/')}/.well-known/openid-configuration", timeout=settings.MONAI_LABEL_AUTH_TIMEOUT
    )
    answer.raise_for_status()
    described: dict[str, Any] = answer.json()
    return described


@functools.lru_cache(maxsize=4)
def _keys(address: str) -> jwt.PyJWKClient:
    """The issuer's keys; a key that is not known yet is asked for, so that it may change them."""
    return jwt.PyJWKClient(address, timeout=settings.MONAI_LABEL_AUTH_TIMEOUT)


def _why(error: Exception) -> str:
    reasons: dict[type[Exception], str] = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.InvalidIssuerError: "another issuer made it",
        jwt.InvalidAudienceError: "it is for another client",
        jwt.InvalidSignatureError: "its signature is wrong",
    }
    return reasons.get(type(error), "it cannot be read")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _unknown(detail: str) -> HTTPException:
    return HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _unreachable(error: Exception) -> HTTPException:
    logger.error("the issuer of tokens cannot be asked: %s", error)
    return HTTPException(503, "the issuer of tokens cannot be reached; check MONAI_LABEL_AUTH_REALM_URI")
