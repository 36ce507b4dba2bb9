"""The daemon's API for programs that must start fast: the standard library's HTTP client and nothing else.

Answers are the API's JSON as it stands. Every refusal is raised as the `Failure` that the problem document reports;
`DaemonUnreachable` and `NotADaemon` are the client's own.
"""

import http.client
import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Self
from urllib.parse import quote, urlencode, urlsplit

from api.client.sse import ServerSentEvent, read_events
from api.problems import failure_from
from cache.errors import Blame, Failure

Json = dict[str, Any]

DEFAULT_URL = "http://127.0.0.1:7878"
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 120.0
"""The longest that one answer may keep silent; event streams carry comments more often than that."""
_PATIENCE_SECONDS = 60.0
"""How long a follower tries to find its daemon again, which may just be starting anew."""
_REST_SECONDS = 0.05
_PIECE = 1 << 18

Body = bytes | BinaryIO | None
_DROPPED = (http.client.HTTPException, OSError)


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


class Client:
    """One connection to one daemon, kept alive from request to request; not for several threads at once (`twin`)."""

    def __init__(self, url: str = DEFAULT_URL, token: str = "", patience: float = _PATIENCE_SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadUrl(f"{url!r} should look like {DEFAULT_URL}; set BLOOMERY_URL")
        self.url = url.rstrip("/")
        self._token = token
        self._patience = patience
        self._base = parts.path.rstrip("/")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            self._connection = kind(parts.hostname, parts.port, timeout=_ANSWER_SECONDS, blocksize=_PIECE)
        except ValueError as problem:
            raise BadUrl(f"{url!r}: {problem}; set BLOOMERY_URL") from problem

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Self:
        """The daemon that `BLOOMERY_URL` and `BLOOMERY_TOKEN` name."""
        return cls(environment.get("BLOOMERY_URL") or DEFAULT_URL, environment.get("BLOOMERY_TOKEN", ""))

    def twin(self) -> "Client":
        """Another connection to the same daemon, for another thread."""
        return Client(self.url, self._token, self._patience)

    def close(self) -> None:
        """Give the connection back; the next call opens another."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the calls

    def create_build(self, request: Json, idempotency_key: str) -> Json:
        """Ask for a build of an uploaded tree; `UnknownTree` or `MissingBlobs` when it is to be uploaded first.

        A build that ends within a moment is answered as it ended.
        """
        return self._json("POST", "/v1/builds", request, {"Idempotency-Key": idempotency_key, "Prefer": "wait=1"})

    def register_tree(self, listing: Json) -> Json:
        """Say what a tree consists of; the answer's `missing` lists the digests of the blobs to upload."""
        return self._json("POST", "/v1/trees", listing)

    def put_blob(self, digest: str, size: int, content: BinaryIO) -> None:
        """Upload one blob, streamed; `content` is at its start."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._finish(self._send("PUT", f"/v1/blobs/{digest}", content, headers))

    def explain(self, request: Json) -> Json:
        """What a build of an uploaded tree would reuse, and why not more."""
        return self._json("POST", "/v1/explain", request)

    def build(self, build: str) -> Json:
        """One build's record."""
        return self._json("GET", _path(build))

    def builds(self, **query: str | int | None) -> Json:
        """A page of builds, newest first: `builds`, and `next`, the cursor of the page after it, or null."""
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        return self._json("GET", "/v1/builds" + ("?" + asked if asked else ""))

    def cancel(self, build: str) -> Json:
        """End a build; its record stays."""
        return self._json("DELETE", _path(build))

    def cache(self) -> Json:
        """What is kept from build to build, by kind."""
        return self._json("GET", "/v1/cache")

    def prune(self, keep: int, *, dry_run: bool) -> Json:
        """Remove what is least worth its bytes until `keep` bytes are left; what went, or would go, by kind."""
        return self._json("POST", "/v1/cache/prune", {"keep": keep, "dry_run": dry_run})

    def contents(self, build: str, binary: str | None = None) -> Json:
        """Every file of a build's image and why it is there."""
        return self._json("GET", _path(build, "contents", binary))

    def image(self, build: str, binary: str | None = None) -> Iterator[bytes]:
        """The OCI archive of a build's image, in pieces."""
        return self._download(_path(build, "image", binary))

    def symbols(self, build: str, binary: str | None = None) -> Iterator[bytes]:
        """The debug symbols that were stripped from a build's binary, in pieces."""
        return self._download(_path(build, "symbols", binary))

    def lockfile(self, build: str) -> Iterator[bytes]:
        """The lock that was made for a build whose source has none, in pieces."""
        return self._download(_path(build, "lockfile"))

    def _download(self, path: str) -> Iterator[bytes]:
        answer = self._send("GET", path, None, {"Accept": "*/*"})
        try:
            _refused(answer)
            expected = answer.length
            while piece := answer.read(_PIECE):
                if expected is not None:
                    expected -= len(piece)
                yield piece
        except _DROPPED as problem:
            raise self._unreachable(problem) from problem
        if expected:
            raise self._unreachable(f"the connection ended {expected} bytes too early")

    def events(self, build: str, after: int = 0) -> Iterator[ServerSentEvent]:
        """A build's events from after a number to its final state, across lost connections and a daemon's restart."""
        lost_at: float | None = None
        while True:
            dropped: object = "the stream of events ended before the build did"
            try:
                for event in self._stream(build, after):
                    lost_at = None
                    after = event.number
                    yield event
                    if event.final:
                        return
            except _DROPPED as problem:
                dropped = problem
            except Failure as failure:
                if failure.blame is not Blame.INFRASTRUCTURE:
                    raise
                dropped = failure.detail
            self._connection.close()
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            if now - lost_at >= self._patience:
                raise DaemonUnreachable(
                    f"{self.url}: {dropped}\n"
                    f"the build may go on: `bloomery logs -f {build}` follows it once the daemon is back",
                )
            time.sleep(min(2.0, 0.05 + (now - lost_at) / 2))

    def log(self, build: str) -> Iterator[ServerSentEvent]:
        """The events that a build has had so far."""
        try:
            yield from self._stream(build, 0, follow="false")
        except _DROPPED as problem:
            raise self._unreachable(problem) from problem

    # --- how they are made

    def _stream(self, build: str, after: int, follow: str = "") -> Iterator[ServerSentEvent]:
        headers = {"Accept": "text/event-stream"}
        if after:
            headers["Last-Event-ID"] = str(after)
        answer = self._send("GET", _path(build, "events") + ("?follow=" + follow if follow else ""), None, headers)
        _refused(answer)
        ended = False
        try:
            for event in read_events(_pieces(answer)):
                ended = event.final
                yield event
        finally:
            if ended:
                self._rest(answer)
            elif not answer.isclosed():
                self._connection.close()

    def _rest(self, answer: http.client.HTTPResponse) -> None:
        """After the last event the stream's end is all but here: read it, and the connection serves again."""
        self._quiet_after(_REST_SECONDS)
        try:
            answer.read()
        except _DROPPED:
            self._connection.close()
        else:
            self._quiet_after(_ANSWER_SECONDS)

    def _json(self, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None) -> Json:
        sent: Body = None
        every = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent = json.dumps(body, separators=(",", ":")).encode()
            every["Content-Type"] = "application/json"
        text = self._finish(self._send(method, path, sent, every))
        try:
            found = json.loads(text or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NotADaemon(f"{self.url}{path} answered with something that is no JSON object; is BLOOMERY_URL right?")
        return found

    def _finish(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            _refused(answer)
            return answer.read()
        except _DROPPED as problem:
            self._connection.close()
            raise self._unreachable(problem) from problem

    def _send(self, method: str, path: str, body: Body, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """One request; once more on a fresh connection where a kept one turns out to have been closed."""
        every = {"User-Agent": "bloomery", **headers}
        if self._token:
            every["Authorization"] = f"Bearer {self._token}"
        while True:
            kept = self._connection.sock is not None
            try:
                self._connect()
                answer = self._request(method, path, body, every)
            except _DROPPED as problem:
                self._connection.close()
                if kept and isinstance(problem, ConnectionError | http.client.RemoteDisconnected):
                    if body is not None and not isinstance(body, bytes):
                        body.seek(0)
                    continue
                raise self._unreachable(problem) from problem
            return answer

    def _request(self, method: str, path: str, body: Body, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Send and get the answer's head; a daemon that refuses a body early answers before it has read it all."""
        try:
            self._connection.request(method, self._base + path, body, dict(headers))
        except (BrokenPipeError, ConnectionResetError) as broken:
            try:
                return self._connection.getresponse()
            except _DROPPED:
                raise broken from None
        return self._connection.getresponse()

    def _connect(self) -> None:
        if self._connection.sock is None:
            self._connection.timeout = _CONNECT_SECONDS
            self._connection.connect()
            self._quiet_after(_ANSWER_SECONDS)

    def _quiet_after(self, seconds: float) -> None:
        """How long the connection may be silent from now on."""
        connected: socket.socket | None = self._connection.sock
        if connected is not None:
            connected.settimeout(seconds)

    def _unreachable(self, problem: object) -> DaemonUnreachable:
        words = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        return DaemonUnreachable(
            f"{self.url}: {words or type(problem).__name__}\n"
            "start one with `bloomery serve`, or point BLOOMERY_URL at one that runs",
        )


def _path(build: str, part: str = "", binary: str | None = None) -> str:
    path = "/v1/builds/" + quote(build, safe="") + ("/" + part if part else "")
    return path + ("?" + urlencode({"binary": binary}) if binary else "")


def _pieces(answer: http.client.HTTPResponse) -> Iterable[bytes]:
    while piece := answer.read1(_PIECE):
        yield piece


def _refused(answer: http.client.HTTPResponse) -> None:
    """Raise what a status of 400 or more reports."""
    if answer.status < http.client.BAD_REQUEST:
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
