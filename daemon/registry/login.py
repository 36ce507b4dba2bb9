"""Who the daemon is for a registry: the challenge that a 401 carries, and what answers it.

Source: https://distribution.github.io/distribution/spec/auth/token/, and RFC 7617 for `Basic`. A password goes to the
registry that it was configured for and to the token server that this registry names; over plain HTTP only where the
registry itself is spoken to so.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from urllib.request import parse_http_list, parse_keqv_list

import aiohttp

from daemon.errors import PushDenied, PushFailed

_SHORTEST_LIFE = 60.0
"""Seconds that a token is good for whose answer does not say."""
_MARGIN = 10.0
"""Seconds before its end in which a token is not used any more."""
_LARGEST_ANSWER = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user and a password, or a token in its place; never shown."""

    user: str
    password: str = field(repr=False)

    def basic(self) -> str:
        """The value of an Authorization header."""
        return aiohttp.encode_basic_auth(self.user, self.password)


@dataclass(frozen=True, slots=True)
class _Token:
    authorization: str
    until: float


class Login:
    """The authorizations for one registry, by what they allow; a token is asked for once and used until it ends."""

    def __init__(
        self,
        host: str,
        credentials: Credentials | None,
        *,
        plain: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._credentials = credentials
        self._plain = plain
        self._clock = clock
        self._tokens: dict[str, _Token] = {}

    def authorization(self, scopes: Iterable[str]) -> str | None:
        """What to send, as far as it is known before a registry asks."""
        token = self._tokens.get(_key(scopes))
        return token.authorization if token is not None and token.until > self._clock() else None

    async def answer(self, challenge: str, scopes: Iterable[str], session: aiohttp.ClientSession) -> str:
        """The authorization that a challenge wants; `PushDenied` where there is none to give."""
        kind, _, rest = challenge.partition(" ")
        match kind.lower():
            case "basic":
                if self._credentials is None:
                    raise self._denied("it asks for a user and a password, and none are configured")
                token = _Token(self._credentials.basic(), float("inf"))
            case "bearer":
                token = await self._token(parse_keqv_list(parse_http_list(rest)), tuple(scopes), session)
            case _:
                raise self._denied(f"it asks for a login of the kind {kind or 'none'!r}, which is not known here")
        self._tokens[_key(scopes)] = token
        return token.authorization

    def forget(self, scopes: Iterable[str]) -> None:
        """What a registry has refused is not sent again."""
        self._tokens.pop(_key(scopes), None)

    async def _token(
        self, challenge: Mapping[str, str], scopes: tuple[str, ...], session: aiohttp.ClientSession
    ) -> _Token:
        realm = challenge.get("realm", "")
        if urlsplit(realm).scheme not in ({"http", "https"} if self._plain else {"https"}):
            raise self._denied(f"its token server {realm!r} is not reached by HTTPS")
        query = [("service", challenge["service"])] if "service" in challenge else []
        query += [("scope", scope) for scope in scopes]
        headers = {"Authorization": self._credentials.basic()} if self._credentials else {}
        async with session.get(realm, params=query, headers=headers, allow_redirects=False) as response:
            body = await response.content.read(_LARGEST_ANSWER)
            if response.status in {401, 403}:
                raise self._denied("its token server does not accept the configured user and password")
            if response.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise PushFailed(f"The token server of {self._host} answers with status {response.status}")
        try:
            document: Any = json.loads(body)
            value = document.get("token") or document["access_token"]
            life = max(_SHORTEST_LIFE, float(document.get("expires_in", _SHORTEST_LIFE)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PushFailed(f"The token server of {self._host} gives no token") from error
        return _Token(f"Bearer {value}", self._clock() + life - _MARGIN)

    def _denied(self, why: str) -> PushDenied:
        return PushDenied(
            f"The registry {self._host} lets nobody in that it does not know: {why}. [publish.credentials] names "
            "a file with USER:PASSWORD for each registry.",
            registry=self._host,
        )


def _key(scopes: Iterable[str]) -> str:
    return " ".join(sorted(scopes))
