"""Many blobs over several connections at once, each in a thread that sends one after the other."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from api.client.client import Client
from cache.tree import TreeEntry

_REDRAW_SECONDS = 0.1


class Lanes:
    """One upload: its threads share only the count and the wish to stop."""

    def __init__(self, client: Client, send: Callable[[Client, TreeEntry], None]) -> None:
        self._client = client
        self._send = send
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._done = 0

    def run(self, entries: Sequence[TreeEntry], lanes: int, told: Callable[[int], None]) -> None:
        """Send everything; the first failure ends the rest. `told` is told how many are sent, ten times a second."""
        with ThreadPoolExecutor(lanes) as pool:
            try:
                pending = {pool.submit(self._lane, entries[lane::lanes]) for lane in range(lanes)}
                while pending:
                    done, pending = wait(pending, _REDRAW_SECONDS, FIRST_EXCEPTION)
                    for each in done:
                        each.result()
                    told(self._done)
            finally:
                self._stopped.set()

    def _lane(self, entries: Sequence[TreeEntry]) -> None:
        with self._client.twin() as client:
            for entry in entries:
                if self._stopped.is_set():
                    return
                self._send(client, entry)
                with self._lock:
                    self._done += 1
