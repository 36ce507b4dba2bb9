"""Who may call, and what they see: bearer tokens, each for one trust scope.

Tokens are compared by their SHA-256 and in constant time, and are kept in no other form.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from api.errors import ForeignScope, Unauthorized
from daemon.build_records import unknown_build
from daemon.builds import DEFAULT_SCOPE, Build

_SCOPE = web.RequestKey("bloomery.scope", str)


class Records(Protocol):
    """The builds on record."""

    async def build(self, build: str) -> Build:
        """One build; `UnknownBuild`."""
        ...


class Guard:
    """Knows the tokens; without any, everyone may call and name any scope."""

    def __init__(self, scopes: Mapping[str, str]) -> None:
        """Take the scope of each token."""
        self._scopes = tuple((_hashed(token), scope) for token, scope in scopes.items())

    def admit(self, request: web.Request) -> None:
        """Let the request in and note its scope, or raise `Unauthorized`."""
        if not self._scopes:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = _hashed(token.strip())
        found: str | None = None
        for known, scope in self._scopes:
            if hmac.compare_digest(known, given):
                found = scope  # goes on, so that time does not tell which one it was
        if scheme.lower() != "bearer" or found is None:
            raise Unauthorized(
                "send Authorization: Bearer <token> with a token of this daemon's configuration; "
                "the command line reads it from BLOOMERY_TOKEN",
            )
        request[_SCOPE] = found


def sees(request: web.Request) -> str | None:
    """The only scope whose builds the caller sees: the token's; None: every scope's, where there are no tokens."""
    scope: str | None = request.get(_SCOPE)
    return scope


async def visible_build(request: web.Request, records: Records) -> Build:
    """The build that the path names; `UnknownBuild` also, and in the same words, for one of another scope."""
    build = await records.build(request.match_info["id"])
    if sees(request) not in {None, build.request.scope}:
        raise unknown_build(build.id)
    return build


def scope_of(request: web.Request, asked: str | None) -> str:
    """The scope that a build is in: the token's, or the one asked for where there are no tokens."""
    own: str | None = request.get(_SCOPE)
    if own is None:
        return asked or DEFAULT_SCOPE
    if asked is not None and asked != own:
        raise ForeignScope(f"this token is for the scope {own}; leave scope out, or use a token of {asked}", scope=own)
    return own


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
