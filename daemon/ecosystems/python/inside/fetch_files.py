"""Fetches files into a directory, each proved by its sha256.

Run as `python3 -m inside.fetch_files LIST DIRECTORY`; the list is JSON, `[{"url": …, "file": …, "sha256": …}, …]`. Ends
with `UNREACHABLE`, `GONE` or `OTHER_CONTENT` and the reason on standard error. Proxies and certificates are the
environment's.
"""

import concurrent.futures
import hashlib
import http.client
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request
from typing import NoReturn

UNREACHABLE, GONE, OTHER_CONTENT = 75, 76, 77
_AT_ONCE = 8
_PAUSES = (0.5, 2.0, 5.0)
_PIECE = 1 << 18
_TIMEOUT = 60.0
_SERVER = 500
_AGAIN = {408, 425, 429}


class NotFetchedError(Exception):
    """A file that did not come; `code` is what the program ends with."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


def fetched(url: str, sha256: str, path: pathlib.Path) -> None:
    """One file, in as many tries as it is worth; `NotFetchedError` says why it did not come."""
    for pause in (*_PAUSES, None):
        try:
            _once(url, sha256, path)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < _SERVER and error.code not in _AGAIN:
                raise NotFetchedError(GONE, f"{url}: {error.code} {error.reason}") from None
            why = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:  # of which URLError is one
            why = str(getattr(error, "reason", error)) or type(error).__name__
        else:
            return
        if pause is None:
            raise NotFetchedError(UNREACHABLE, f"{url}: {why}")
        time.sleep(pause)


def _once(url: str, sha256: str, path: pathlib.Path) -> None:
    seen = hashlib.sha256()
    part = path.with_name(path.name + ".part")
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, part.open("wb") as file:  # noqa: S310 - the lock's reader has seen to the scheme
        while piece := answer.read(_PIECE):
            seen.update(piece)
            file.write(piece)
    if seen.hexdigest() != sha256:
        part.unlink()
        raise NotFetchedError(
            OTHER_CONTENT, f"{path.name} has sha256 {seen.hexdigest()}, and the lock says {sha256} ({url})"
        )
    part.rename(path)


def main(listing: str, directory: str) -> None:
    """Fetch all; the first that does not come ends it."""
    wanted = json.loads(pathlib.Path(listing).read_bytes())
    pool = concurrent.futures.ThreadPoolExecutor(_AT_ONCE)
    try:
        coming = [
            pool.submit(fetched, one["url"], one["sha256"], pathlib.Path(directory, one["file"])) for one in wanted
        ]
        for each in concurrent.futures.as_completed(coming):
            each.result()
    except NotFetchedError as failure:
        pool.shutdown(wait=False, cancel_futures=True)
        _end(failure)
    pool.shutdown()


def _end(failure: NotFetchedError) -> NoReturn:
    sys.stderr.write(f"error: {failure}\n")
    sys.exit(failure.code)


if __name__ == "__main__":
    main(*sys.argv[1:])
