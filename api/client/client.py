"""The daemon's API for programs that must start fast: a method for each call, over one connection.

Answers are the API's JSON as it stands, and refusals are raised as the `Failure` that was reported.
"""

import time
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Self
from urllib.parse import quote, urlencode

from api.client.connection import DEFAULT_URL, DROPPED, Connection, DaemonUnreachable, Json
from api.client.sse import ServerSentEvent
from cache.errors import Blame, Failure

_PATIENCE_SECONDS = 60.0
"""How long a follower tries to find its daemon again, which may just be starting anew."""


class Client:
    """One connection to one daemon, kept alive from request to request; not for several threads at once (`twin`)."""

    def __init__(self, url: str = DEFAULT_URL, token: str = "", patience: float = _PATIENCE_SECONDS) -> None:
        self._connection = Connection(url, token)
        self._token = token
        self._patience = patience

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Self:
        """The daemon that `BLOOMERY_URL` and `BLOOMERY_TOKEN` name."""
        return cls(environment.get("BLOOMERY_URL") or DEFAULT_URL, environment.get("BLOOMERY_TOKEN", ""))

    def twin(self) -> "Client":
        """Another connection to the same daemon, for another thread."""
        return Client(self._connection.url, self._token, self._patience)

    def close(self) -> None:
        """Give the connection back; the next call opens another."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create_build(self, request: Json, idempotency_key: str) -> Json:
        """Ask for a build of an uploaded tree; `UnknownTree` or `MissingBlobs` when it is to be uploaded first.

        A build that ends within a moment is answered as it ended.
        """
        return self._connection.json(
            "POST", "/v1/builds", request, {"Idempotency-Key": idempotency_key, "Prefer": "wait=1"}
        )

    def register_tree(self, listing: Json) -> Json:
        """Say what a tree consists of; the answer's `missing` lists the digests of the blobs to upload."""
        return self._connection.json("POST", "/v1/trees", listing)

    def put_blob(self, digest: str, size: int, content: BinaryIO) -> None:
        """Upload one blob, streamed; `content` is at its start."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._connection.exchange("PUT", f"/v1/blobs/{digest}", content, headers)

    def explain(self, request: Json) -> Json:
        """What a build of an uploaded tree would reuse, and why not more."""
        return self._connection.json("POST", "/v1/explain", request)

    def build(self, build: str) -> Json:
        """One build's record."""
        return self._connection.json("GET", _path(build))

    def builds(self, **query: str | int | None) -> Json:
        """A page of builds, newest first: `builds`, and `next`, the cursor of the page after it, or null."""
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        return self._connection.json("GET", "/v1/builds" + ("?" + asked if asked else ""))

    def cancel(self, build: str) -> Json:
        """End a build; its record stays."""
        return self._connection.json("DELETE", _path(build))

    def cache(self) -> Json:
        """What is kept from build to build, by kind."""
        return self._connection.json("GET", "/v1/cache")

    def prune(self, keep: int, *, dry_run: bool) -> Json:
        """Remove what is least worth its bytes until `keep` bytes are left; what went, or would go, by kind."""
        return self._connection.json("POST", "/v1/cache/prune", {"keep": keep, "dry_run": dry_run})

    def contents(self, build: str, binary: str | None = None) -> Json:
        """Every file of a build's image and why it is there."""
        return self._connection.json("GET", _path(build, "contents", binary))

    def image(self, build: str, binary: str | None = None) -> Iterator[bytes]:
        """The OCI archive of a build's image, in pieces."""
        return self._connection.download(_path(build, "image", binary))

    def symbols(self, build: str, binary: str | None = None) -> Iterator[bytes]:
        """The debug symbols that were stripped from a build's binary, in pieces."""
        return self._connection.download(_path(build, "symbols", binary))

    def lockfile(self, build: str) -> Iterator[bytes]:
        """The lock that was made for a build whose source has none, in pieces."""
        return self._connection.download(_path(build, "lockfile"))

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
            except DROPPED as problem:
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
                    f"{self._connection.url}: {dropped}\n"
                    f"the build may go on: `bloomery logs -f {build}` follows it once the daemon is back",
                )
            time.sleep(min(2.0, 0.05 + (now - lost_at) / 2))

    def log(self, build: str) -> Iterator[ServerSentEvent]:
        """The events that a build has had so far."""
        try:
            yield from self._stream(build, 0, follow="false")
        except DROPPED as problem:
            raise self._connection.unreachable(problem) from problem

    def _stream(self, build: str, after: int, follow: str = "") -> Iterator[ServerSentEvent]:
        seen = {"Last-Event-ID": str(after)} if after else {}
        return self._connection.stream(_path(build, "events") + ("?follow=" + follow if follow else ""), seen)


def _path(build: str, part: str = "", binary: str | None = None) -> str:
    path = "/v1/builds/" + quote(build, safe="") + ("/" + part if part else "")
    return path + ("?" + urlencode({"binary": binary}) if binary else "")
