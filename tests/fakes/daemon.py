"""A daemon that speaks the documented API from memory, over real HTTP on 127.0.0.1, for tests of the client.

It refuses what the real one refuses: trees and blobs that it was not given, blobs that are not what their digest says,
unknown builds, a wrong token. What a build comes to is scripted: `script` is its events, `ending` what its record
becomes.
"""

import hashlib
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree, TreeEntry

Json = dict[str, Any]

STATUS = {"unknown_tree": 404, "unknown_build": 404, "missing_blobs": 409, "blob_mismatch": 422, "unauthorized": 401}
IMAGE_ID = "sha256:" + "a" * 64
COMPILE_ERROR = "\x1b[1m\x1b[91merror[E0308]\x1b[0m: mismatched types\n --> src/main.rs:3:5\n"


def image(reference: str = "shop/users", binary: str = "users", **over: Any) -> Json:
    return {
        "binary": binary,
        "reference": reference,
        "tags": [reference],
        "digest": "sha256:" + "b" * 64,
        "image_id": IMAGE_ID,
        "size": 4_300_000,
        "files": 9,
        "contents": "sha256:" + "c" * 64,
        "symbols": None,
        "warnings": [],
    } | over


def outcome(*images: Json, **over: Any) -> Json:
    reuse = {
        "rung": "layer",
        "seconds_saved": 113.4,
        "dependencies": 152,
        "reused": 152,
        "compiled": ["users 0.1.0"],
        "members": ["users 0.1.0"],
        "compiled_twice": [],
        "refusals": [
            {
                "rung": "result",
                "why": "key_changed",
                "differences": [
                    {
                        "about": "files",
                        "label": "source tree",
                        "files": [{"path": "src/main.rs", "presence": "changed"}],
                        "more": 0,
                    }
                ],
            }
        ],
        "notes": [],
    }
    return {
        "images": list(images) or [image()],
        "reuse": reuse,
        "project": "users",
        "ecosystem": "rust",
        "toolchain": "1.95.0",
        "diagnostics": [],
        "lockfile": None,
    } | over


def failure(kind: str = "compile_failed", blame: str = "source", **evidence: Any) -> Json:
    return {
        "kind": kind,
        "title": "The source does not compile",
        "detail": "1 error in src/main.rs",
        "blame": blame,
        "evidence": evidence,
    }


DIAGNOSTIC = {
    "level": "error",
    "message": "mismatched types",
    "code": "E0308",
    "file": "src/main.rs",
    "line": 3,
    "column": 5,
    "package": "users",
    "rendered": COMPILE_ERROR,
}

SUCCEEDED: Json = {"state": "succeeded", "outcome": outcome()}
FAILED: Json = {"state": "failed", "failure": failure(), "diagnostics": [DIAGNOSTIC]}


class Refusal(Exception):  # noqa: N818 - the word for it
    def __init__(self, kind: str, detail: str, blame: str = "request", **evidence: Any) -> None:
        super().__init__(detail)
        self.problem = {
            "type": f"urn:bloomery:problem:{kind}",
            "title": f"the title of {kind}",
            "status": STATUS.get(kind, 400 if blame == "request" else 503),
            "detail": detail,
            "kind": kind,
            "blame": blame,
            "evidence": evidence,
        }


class FakeDaemon:
    """State and script; use as a context manager."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.asked: list[Json] = []
        self.trees: dict[str, Json] = {}
        self.blobs: dict[str, bytes] = {}
        self.builds: dict[str, Json] = {}
        self.keys: dict[str, str] = {}
        self.token = ""
        self.refuse: Refusal | None = None
        self.script: list[tuple[str, Json]] = [("log", {"text": "   Compiling users v0.1.0 (/work)"})]
        self.ending: Json = SUCCEEDED
        self.failing: dict[str, Json] = {}
        """The failures of builds with a tag that has this in it."""
        self.held = threading.Event()
        self.hold_after: int | None = None
        """Keep the stream of events open after so many of them until `held` is set."""
        self.cut_after: list[int] = []
        """Cut the first streams of events after so many of them each."""
        self.drop_requests = 0
        """Close the connection instead of answering, so many times."""
        self.archive = b""
        self.cut_archive = False
        self.refuse_blobs: Refusal | None = None
        """Answer uploads with this before their bodies were read."""
        self.explanation: Json = {}
        self.kept: list[Json] = [
            {"kind": "layer", "records": 1, "size": 3_000},
            {"kind": "unit", "records": 12, "size": 1_000},
        ]
        self.prompt = False
        """Builds that are waited for have ended when they are answered."""
        self.forgets = False
        """Take blobs and not keep them."""
        self.other_trees = ""
        """What is added to the digest of every tree."""
        handler = type("Handler", (_Handler,), {"daemon": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def events(self, build: Json) -> list[tuple[str, Json]]:
        end = {"state": self.ending_of(build)["state"], "attempt": 1}
        return [("state", {"state": "running", "attempt": 1}), *self.script, ("state", end)]

    def new_build(self, asked: Json) -> Json:
        number = len(self.builds) + 1
        build: Json = {
            "id": f"b{number}",
            "sequence": number,
            "request": {"lineage": "main", **asked},
            "state": "queued",
            "created_at": 1000.0,
            "started_at": None,
            "finished_at": None,
            "attempt": 0,
            "stages": [],
            "outcome": None,
            "failure": None,
            "diagnostics": [],
        }
        self.builds[build["id"]] = build
        return build

    def ending_of(self, build: Json) -> Json:
        tags = [tag for image in build["request"].get("images", ()) for tag in image["tags"]]
        for part, failed in self.failing.items():
            if any(part in tag for tag in tags):
                return {"state": "failed", "failure": failed}
        return self.ending

    def finish(self, build: Json) -> None:
        if build["state"] not in {"succeeded", "failed", "cancelled"}:
            build |= {"started_at": 1000.2, "finished_at": 1004.3, "attempt": 1, **self.ending_of(build)}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients leave when they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    daemon: FakeDaemon
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        daemon = self.daemon
        if self.command == "PUT" and daemon.refuse_blobs is not None:
            self.close_connection = True
            self._json(daemon.refuse_blobs.problem, 413, "application/problem+json")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if daemon.drop_requests:
            daemon.drop_requests -= 1
            self.close_connection = True
            return
        url = urlsplit(self.path)
        daemon.requests.append(f"{self.command} {url.path}")
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        try:
            self._admit()
            self._route(url.path.strip("/").split("/")[1:], query, body)
        except Refusal as refusal:
            self._json(refusal.problem, refusal.problem["status"], "application/problem+json")

    def _admit(self) -> None:
        if self.daemon.token and self.headers.get("Authorization") != f"Bearer {self.daemon.token}":
            raise Refusal("unauthorized", "send the token as a bearer token")
        if self.daemon.refuse is not None:
            raise self.daemon.refuse

    def _route(self, path: list[str], query: dict[str, str], body: bytes) -> None:  # noqa: C901, PLR0912 - the API
        daemon = self.daemon
        match self.command, path:
            case "POST", ["builds"]:
                self._create(json.loads(body))
            case "GET", ["builds"]:
                self._page(query)
            case "GET", ["builds", build]:
                self._json(self._build(build))
            case "DELETE", ["builds", build]:
                found = self._build(build)
                if found["state"] in {"queued", "running"}:
                    found["state"] = "cancelled"
                self._json(found)
            case "GET", ["builds", build, "events"]:
                self._events(self._build(build), query)
            case "GET", ["builds", build, "image"]:
                self._build(build)
                self._image()
            case "GET", ["builds", build, "symbols" | "lockfile"]:
                self._build(build)
                self._image()
            case "GET", ["builds", build, "contents"]:
                self._build(build)
                entry = {
                    "path": "/app/users",
                    "kind": "file",
                    "size": 4_000_000,
                    "mode": 0o755,
                    "reason": "binary users",
                }
                link = {
                    "path": "/lib",
                    "kind": "symlink",
                    "size": 0,
                    "mode": 0o777,
                    "reason": "usr",
                    "target": "usr/lib",
                }
                self._json({"binary": "users", "digest": "sha256:" + "b" * 64, "entries": [entry, link]})
            case "POST", ["trees"]:
                self._register(json.loads(body))
            case "PUT", ["blobs", digest]:
                if daemon.forgets:
                    self._json({"digest": digest}, 201)
                    return
                if "sha256:" + hashlib.sha256(body).hexdigest() != digest:
                    raise Refusal("blob_mismatch", "the content is another")
                daemon.blobs[digest] = body
                self._json({"digest": digest}, 201)
            case "GET", ["cache"]:
                self._json({"ceiling": 50_000, "size": 4_000, "kinds": daemon.kept})
            case "POST", ["cache", "prune"]:
                asked = json.loads(body)
                daemon.asked.append(asked)
                self._json({"dry_run": asked["dry_run"], "size": 4_000, "kinds": daemon.kept})
            case "POST", ["explain"]:
                self._whole(json.loads(body))
                self._json(daemon.explanation)
            case _:
                raise Refusal("no_such_path", self.path)

    def _build(self, build: str) -> Json:
        try:
            return self.daemon.builds[build]
        except KeyError:
            raise Refusal("unknown_build", f"no build is called {build}") from None

    def _whole(self, asked: Json) -> None:
        daemon = self.daemon
        daemon.asked.append(asked)
        if asked["tree"] not in daemon.trees:
            raise Refusal("unknown_tree", "upload it first")
        entries = daemon.trees[asked["tree"]]["entries"]
        if missing := [e["digest"] for e in entries if e.get("digest", "") and e["digest"] not in daemon.blobs]:
            raise Refusal("missing_blobs", "upload them", missing=missing)

    def _create(self, asked: Json) -> None:
        daemon = self.daemon
        self._whole(asked)
        key = self.headers["Idempotency-Key"]
        if key in daemon.keys:
            self._json(daemon.builds[daemon.keys[key]])
            return
        build = daemon.new_build(asked)
        daemon.keys[key] = build["id"]
        if daemon.prompt and "wait=" in self.headers.get("Prefer", ""):
            daemon.finish(build)
            self._json(build, 201)
        else:
            self._json(build, 202)

    def _page(self, query: dict[str, str]) -> None:
        builds = sorted(self.daemon.builds.values(), key=lambda build: -build["sequence"])
        builds = [b for b in builds if "state" not in query or b["state"] == query["state"]]
        builds = [b for b in builds if "cursor" not in query or b["sequence"] < int(query["cursor"])]
        limit = min(2, int(query.get("limit", 2)))  # small pages, so that the cursor is needed
        page = builds[:limit]
        self._json({"builds": page, "next": str(page[-1]["sequence"]) if len(builds) > limit else None})

    def _register(self, listing: Json) -> None:
        tree = SourceTree.of(
            TreeEntry(
                each["path"],
                EntryKind(each.get("kind", "file")),
                each.get("size", 0),
                each.get("executable", False),
                Digest.parse(each["digest"]) if each.get("digest") else None,
                each.get("target", ""),
            )
            for each in listing["entries"]
        )
        digests = {each["digest"] for each in listing["entries"] if each.get("digest")}
        missing = sorted(digests - self.daemon.blobs.keys())
        if not missing:
            self.daemon.trees[str(tree.digest)] = listing
        self._json({"tree": str(tree.digest) + self.daemon.other_trees, "missing": missing})

    def _events(self, build: Json, query: dict[str, str]) -> None:
        daemon = self.daemon
        after = int(self.headers.get("Last-Event-ID", "0"))
        cut = daemon.cut_after.pop(0) if daemon.cut_after else None
        hold = daemon.hold_after
        self._head("text/event-stream")
        if build["state"] == "queued":
            build["state"] = "running"
        events = list(enumerate(daemon.events(build), start=1))
        if query.get("follow") == "false" and hold is not None:
            events, hold = events[:hold], None
        for sent, (number, (kind, data)) in enumerate(events[after:]):
            if cut is not None and sent == cut:
                self._chunk(b'id: 99\nevent: log\ndata: {"half')
                self.close_connection = True
                return
            if hold is not None and number > hold:
                while not daemon.held.wait(0.02):
                    with suppress(OSError):
                        self._chunk(b": still here\n\n")
            if number == len(events):
                daemon.finish(build)
            event = {"number": number, "at": time.time(), "kind": kind, "data": data}
            self._chunk(f"id: {number}\nevent: {kind}\ndata: {json.dumps(event)}\n\n".encode())
        self._chunk(b"")

    def _image(self) -> None:
        self._head("application/x-tar")
        self._chunk(self.daemon.archive[:10])
        if self.daemon.cut_archive:
            self.close_connection = True
            return
        self._chunk(self.daemon.archive[10:])
        self._chunk(b"")

    def _json(self, value: object, status: int = 200, media_type: str = "application/json") -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _head(self, media_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
