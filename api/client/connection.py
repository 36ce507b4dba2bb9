"""One kept-alive connection to a daemon, whose requests are the API's and whose refusals are failures.

Every refusal is raised as the `Failure` that the problem document reports; `DaemonUnreachable`, `NotADaemon` and
`BadUrl` are the client's own.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from api.client.sse import ServerSentEvent, read_events
from api.client.wire import Answer, Body, Wire
from api.problems import failure_from
from cache.errors import Blame, Failure

Json = dict[str, Any]

DEFAULT_URL = "http://127.0.0.1:7878"
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 120.0
"""The longest that one answer may keep silent; event streams carry comments more often than that."""
_REST_SECONDS = 0.05
_REFUSED = 400
DROPPED = OSError
"""A connection that could not be made, or that broke."""


class DaemonUnreachable(Failure):
    """Nothing answers where the daemon should be, or it stopped answering."""

    kind = "daemon_unreachable"
    title = "The daemon does not answer"
    blame = Blame.INFRASTRUCTURE


class NotADaemon(Failure):
    """What answers is no Bloomery daemon: no JSON where there should be some."""

    kind = "not_a_daemon"
    title = "What answers there is no Bloomery daemon"
    blame = Blame.INFRASTRUCTURE


class BadUrl(Failure):
    """The daemon's URL is none that can be asked."""

    kind = "bad_url"
    title = "The daemon's URL cannot be used"
    blame = Blame.REQUEST


class Connection:
    """One connection to one daemon, kept alive from request to request; not for several threads at once."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadUrl(f"{url!r} should look like {DEFAULT_URL}; set BLOOMERY_URL")
        self.url = url.rstrip("/")
        self._token = token
        self._base = quote(parts.path.rstrip("/"), safe="/%")
        try:
            self._wire = Wire(parts.scheme, parts.hostname, parts.port)
        except ValueError as problem:
            raise BadUrl(f"{url!r}: {problem}; set BLOOMERY_URL") from problem

    def close(self) -> None:
        """Give it back; the next request opens another."""
        self._wire.close()

    def json(self, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None) -> Json:
        """Send a document, if any, and read the answer's; raises what was refused."""
        sent: Body = None
        every = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent = json.dumps(body, separators=(",", ":")).encode()
            every["Content-Type"] = "application/json"
        text = self.exchange(method, path, sent, every)
        try:
            found = json.loads(text or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NotADaemon(f"{self.url}{path} answered with something that is no JSON object; is BLOOMERY_URL right?")
        return found

    def exchange(self, method: str, path: str, body: Body, headers: Mapping[str, str]) -> bytes:
        """Send a body and read the whole answer; raises what was refused."""
        answer = self._send(method, path, body, headers)
        try:
            _refused(answer)
            return answer.read()
        except DROPPED as problem:
            self._wire.close()
            raise self.unreachable(problem) from problem

    def download(self, path: str) -> Iterator[bytes]:
        """What is there, in pieces; raises what was refused, and `DaemonUnreachable` where it is not whole."""
        answer = self._send("GET", path, None, {"Accept": "*/*"})
        try:
            _refused(answer)
            yield from answer.pieces()
        except DROPPED as problem:
            raise self.unreachable(problem) from problem
        finally:
            self._let_go(answer)

    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[ServerSentEvent]:
        """Events as they come; raises what was refused, and one of `DROPPED` where the connection breaks."""
        answer = self._send("GET", path, None, {"Accept": "text/event-stream", **headers})
        _refused(answer)
        ended = False
        try:
            for event in read_events(answer.pieces()):
                ended = event.final
                yield event
        finally:
            if ended:
                self._rest(answer)
            self._let_go(answer)

    def unreachable(self, problem: object) -> DaemonUnreachable:
        """The failure that a broken connection is, with what to do."""
        words = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        return DaemonUnreachable(
            f"{self.url}: {words or type(problem).__name__}\n"
            "start one with `bloomery serve`, or point BLOOMERY_URL at one that runs",
        )

    def _rest(self, answer: Answer) -> None:
        """After the last event the stream's end is all but here: read it, and the connection serves again."""
        self._wire.quiet_for(_REST_SECONDS)
        with suppress(DROPPED):
            answer.read()
            self._wire.quiet_for(_ANSWER_SECONDS)

    def _let_go(self, answer: Answer) -> None:
        """What is not read to its end stands in the way of the next answer."""
        if not answer.ended:
            self._wire.close()

    def _send(self, method: str, path: str, body: Body, headers: Mapping[str, str]) -> Answer:
        """One request; once more on a fresh connection where a kept one turns out to have been closed."""
        every = {"User-Agent": "bloomery", **headers}
        if self._token:
            every["Authorization"] = f"Bearer {self._token}"
        while True:
            kept = self._wire.is_open
            try:
                if not kept:
                    self._wire.open(_CONNECT_SECONDS)
                    self._wire.quiet_for(_ANSWER_SECONDS)
                return self._wire.request(method, self._base + path, every, body)
            except ValueError as problem:
                self._wire.close()
                raise BadUrl(f"{self.url}: {problem}; look at BLOOMERY_URL and BLOOMERY_TOKEN") from None
            except DROPPED as problem:
                self._wire.close()
                if not kept or not isinstance(problem, ConnectionError):
                    raise self.unreachable(problem) from problem
                if body is not None and not isinstance(body, bytes):
                    body.seek(0)


def _refused(answer: Answer) -> None:
    """Raise what a status of 400 or more reports."""
    if answer.status < _REFUSED:
        return
    text = answer.read()
    try:
        problem = json.loads(text)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"status": answer.status, "title": f"HTTP {answer.status} {answer.reason}", "kind": "http_error"}
        problem["detail"] = text[:500].decode(errors="replace").strip()
    raise failure_from({"status": answer.status, **problem})
