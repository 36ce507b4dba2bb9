"""A registry of small crates behind HTTP, by cargo's sparse protocol, that remembers what it was asked for.

Protocol: https://doc.rust-lang.org/cargo/reference/registry-index.html#sparse-protocol
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cache.digest import Digest
from daemon.ecosystems.rust.index_entries import entry_path
from tests.fakes.local_registry import Crate


class SparseRegistry:
    """Serves `crates`; add to them at any time."""

    def __init__(self, crates: Sequence[Crate]) -> None:
        self.crates = list(crates)
        self._asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._asked.append(self.path)
                content = registry._found(self.path)
                etag = f'"{Digest.of(content or b"").hex}"'
                code = 404 if content is None else 304 if self.headers.get("If-None-Match") == etag else 200
                body = content if code == 200 and content is not None else b""
                self.send_response(code)
                self.send_header("ETag", etag)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def index(self) -> str:
        """Its address, as cargo's configuration has it."""
        return f"sparse+http://127.0.0.1:{self.server.server_port}/"

    def asked(self) -> list[str]:
        """All that was asked since this was asked last, sorted."""
        found, self._asked = sorted(self._asked), []
        return found

    def downloads(self) -> list[str]:
        """Of that the archives, as `name version`."""
        return [" ".join(path.split("/")[2:]) for path in self.asked() if path.startswith("/download/")]

    def _found(self, path: str) -> bytes | None:
        if path == "/config.json":
            here = f"http://127.0.0.1:{self.server.server_port}/download/{{crate}}/{{version}}"
            return json.dumps({"dl": here}).encode()
        for each in self.crates:
            if path == f"/download/{each.name}/{each.version}":
                return each.archive
        lines = [one.index_entry for one in self.crates if path == entry_path(one.name).removeprefix(".cache")]
        return "".join(f"{line}\n" for line in lines).encode() if lines else None


@contextmanager
def served(*crates: Crate) -> Iterator[SparseRegistry]:
    """A registry that answers as long as the block lasts."""
    registry = SparseRegistry(crates)
    thread = threading.Thread(target=registry.server.serve_forever)
    thread.start()
    try:
        yield registry
    finally:
        registry.server.shutdown()
        thread.join()
        registry.server.server_close()
