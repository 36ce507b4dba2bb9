"""One registry over HTTP: calls that are tried again where that may help, and that log in where they are asked to.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md. Every call is one that may be repeated:
what a lost answer did is the same once more.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

from daemon.errors import PushDenied, PushFailed
from daemon.registry.login import Login

T = TypeVar("T")

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
_LARGEST_ANSWER = 1 << 16
_LONGEST_WAIT = 30.0
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that the same request may not meet again."""
_UNAUTHORIZED, _FORBIDDEN = 401, 403

MakeBody = Callable[[], Any]
"""What aiohttp takes as a request's data; called for each try, for a body is read once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a registry answered; `location` is absolute, and empty where none was given."""

    status: int
    headers: Mapping[str, str]
    location: str
    errors: tuple[str, ...] = ()
    """The error codes of the specification, such as `DIGEST_INVALID`, and what was said of them."""

    def __str__(self) -> str:
        return f"status {self.status}" + (f" ({'; '.join(self.errors)})" if self.errors else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds to wait before each further try of a call."""

    pauses: tuple[float, ...] = (0.5, 2.0, 8.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request; `accepted` are the statuses that are no failure."""

    method: str
    url: str
    """A path of the registry, or an absolute URL that it gave."""
    accepted: frozenset[int]
    scopes: tuple[str, ...]
    """What a token has to allow, as `repository:team/users:pull,push`."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: MakeBody | None = None


class Busy(Exception):  # noqa: N818 - reads as what it says
    """A later try may be answered otherwise; in so many seconds, if the registry said."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class RegistryConnection:
    """Calls to one registry."""

    def __init__(
        self,
        host: str,
        session: aiohttp.ClientSession,
        login: Login,
        *,
        plain: bool = False,
        proxy: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.host = host
        self._proxy = proxy
        self._base = f"{'http' if plain else 'https'}://{host}"
        self._session = session
        self._login = login
        self._patience = patience or Patience()

    async def call(self, call: Call) -> Answer:
        """One try: the answer, if its status is accepted; else `Busy`, `PushDenied` or `PushFailed`."""
        try:
            answer = await self._logged_in(call)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Busy(
                f"The registry {self.host} could not {_what(call)}: {str(error) or type(error).__name__}"
            ) from error
        if answer.status in call.accepted:
            return answer
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise PushDenied(f"The registry {self.host} does not let us {_what(call)}: {answer}", registry=self.host)
        why = f"The registry {self.host} did not {_what(call)}: {answer}"
        if answer.status in _BUSY:
            raise Busy(why, _wanted(answer))
        raise PushFailed(why, registry=self.host)

    async def tried(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, at once or after a pause; `PushFailed` when all tries are spent."""
        for pause in self._patience.pauses:
            try:
                return await work()
            except Busy as busy:
                await asyncio.sleep(max(pause, min(busy.seconds, _LONGEST_WAIT)))
        try:
            return await work()
        except Busy as busy:
            raise PushFailed(str(busy), registry=self.host) from busy

    async def _logged_in(self, call: Call) -> Answer:
        authorization = self._login.authorization(call.scopes)
        answer, challenge = await self._once(call, authorization)
        if answer.status != _UNAUTHORIZED or not challenge or not self._is_ours(call.url):
            return answer
        self._login.forget(call.scopes)
        authorization = await self._login.answer(challenge, call.scopes, self._session)
        answer, _ = await self._once(call, authorization)
        return answer

    async def _once(self, call: Call, authorization: str | None) -> tuple[Answer, str]:
        headers = dict(call.headers)
        # An upload may go on at a store of the registry's, which must not learn who we are for the registry.
        if authorization is not None and self._is_ours(call.url):
            headers["Authorization"] = authorization
        url = urljoin(self._base, call.url)
        if call.query:
            url += ("&" if urlsplit(url).query else "?") + urlencode(call.query)
        async with self._session.request(
            call.method,
            # What a registry gave as a place is sent back as it came, for it may be signed.
            URL(url, encoded=True),
            headers=headers,
            proxy=self._proxy,
            data=call.body() if call.body is not None else None,
            allow_redirects=call.method in {"GET", "HEAD"},
        ) as response:
            content = await response.content.read(_LARGEST_ANSWER)
            location = response.headers.get("Location", "")
            answer = Answer(
                status=response.status,
                headers=response.headers,
                location=urljoin(url, location) if location else "",
                errors=_errors(content) if response.status not in call.accepted else (),
            )
            return answer, response.headers.get("WWW-Authenticate", "")

    def _is_ours(self, url: str) -> bool:
        parts = urlsplit(url)
        return not parts.netloc or f"{parts.scheme}://{parts.netloc}" == self._base


def _what(call: Call) -> str:
    return f"{call.method} {urlsplit(call.url).path}"


def _wanted(answer: Answer) -> float:
    """Seconds that a registry asks for; none where it says a date."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _errors(content: bytes) -> tuple[str, ...]:
    try:
        entries: Iterable[Any] = json.loads(content)["errors"]
        return tuple(f"{entry['code']}: {entry.get('message') or 'no more was said'}" for entry in entries)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()
