"""Clients that upload source trees all at once, through either door; run as a process of its own (`python -m`).

The trees cannot be compressed and no two files are alike, so every byte is read, hashed and written.
"""

import hashlib
import http.client
import io
import json
import os
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

FILES = 50
MEGABYTE = 1_000_000
_PIECE = 1 << 16
_BLOCK = 512
_BODY = os.urandom(MEGABYTE - 16)


def _files() -> Iterator[tuple[str, bytes]]:
    for number in range(FILES):
        yield f"assets/file-{number}.bin", os.urandom(16) + _BODY


def _tar() -> Iterator[bytes]:
    for name, content in _files():
        header = tarfile.TarInfo(name)
        header.size = len(content)
        yield header.tobuf()
        for start in range(0, len(content), _PIECE):
            yield content[start : start + _PIECE]
        yield bytes(-len(content) % _BLOCK)
    yield bytes(2 * _BLOCK)


def by_archive(url: str) -> str:
    """A tar in the body of `POST /v1/builds`; it holds no manifest, so the build that follows ends at once."""
    padded = FILES * (_BLOCK + MEGABYTE + -MEGABYTE % _BLOCK) + 2 * _BLOCK
    headers = {"Content-Type": "application/x-tar", "Content-Length": str(padded)}
    with _connection(url) as connection:
        connection.request("POST", "/v1/builds", body=_tar(), headers=headers)
        answer = connection.getresponse()
        return f"{answer.status} {answer.read()[:200]!r}" if answer.status != http.client.ACCEPTED else ""


def by_listing(url: str) -> str:
    """A listing, each blob, and the listing again."""
    contents = {hashlib.sha256(content).hexdigest(): (name, content[:16]) for name, content in _files()}
    entries = [{"path": name, "digest": f"sha256:{digest}", "size": MEGABYTE} for digest, (name, _) in contents.items()]
    listing = json.dumps({"entries": entries})
    with _connection(url) as connection:
        for _ in range(2):
            connection.request("POST", "/v1/trees", body=listing, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = json.loads(answer.read())
            if answer.status != http.client.OK:
                return f"{answer.status} {said}"
            for digest in said["missing"]:
                content = io.BytesIO(contents[digest.partition(":")[2]][1] + _BODY)
                headers = {"Content-Type": "application/octet-stream", "Content-Length": str(MEGABYTE)}
                connection.request("PUT", f"/v1/blobs/{digest}", body=content, headers=headers)
                answer = connection.getresponse()
                words = answer.read()
                if answer.status >= http.client.BAD_REQUEST:
                    return f"{answer.status} {words[:200]!r}"
    return ""


DOORS: dict[str, Callable[[str], str]] = {"archive": by_archive, "listing": by_listing}


@contextmanager
def _connection(url: str) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    made = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600, blocksize=_PIECE)
    try:
        yield made
    finally:
        made.close()


def main() -> int:
    """`URL DOOR CLIENTS`: upload, print the seconds that it took, or what went wrong."""
    url, door, clients = sys.argv[1], DOORS[sys.argv[2]], int(sys.argv[3])
    troubles: list[str] = []

    def client() -> None:
        try:
            trouble = door(url)
        except (OSError, http.client.HTTPException) as error:
            trouble = repr(error)
        if trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(time.perf_counter() - began)
    for trouble in troubles:
        print(trouble, file=sys.stderr)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
