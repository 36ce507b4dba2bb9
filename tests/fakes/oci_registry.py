"""A registry as the distribution specification has it, in this process; it refuses what a real one refuses.

It can ask for a login, be busy for a while, break an upload off, or know nothing of mounts.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from aiohttp import encode_basic_auth, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
USER, PASSWORD = "builder", "pässword"  # not a secret: this registry has no other user


class Door(Enum):
    """How it lets people in."""

    OPEN = auto()
    BASIC = auto()
    TOKEN = auto()


@dataclass
class OciRegistry:
    """What it has, and what was asked of it."""

    door: Door = Door.OPEN
    mounts: bool = True
    busy: int = 0
    """So many of the next requests get a 503."""
    breaks: int = 0
    """So many of the next uploads lose their connection in the middle."""
    blobs: dict[str, set[str]] = field(default_factory=dict)
    """Digests, by repository."""
    contents: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By repository and tag."""
    asked: list[str] = field(default_factory=list)
    received: int = 0
    tokens: dict[str, set[str]] = field(default_factory=dict)
    """The scopes of each token that was given."""
    uploads: dict[str, str] = field(default_factory=dict)
    host: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its `host:port`."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/token", self._token)
        app.router.add_route("*", "/v2/{name:.+}/blobs/uploads/", self._guarded(self._begin))
        app.router.add_put("/v2/{name:.+}/blobs/uploads/{upload}", self._guarded(self._put_blob))
        app.router.add_head("/v2/{name:.+}/blobs/{digest}", self._guarded(self._head_blob))
        app.router.add_put("/v2/{name:.+}/manifests/{tag}", self._guarded(self._put_manifest))
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.host = site.name.removeprefix("http://")
            yield self.host
        finally:
            await runner.cleanup()

    def count(self, method: str) -> int:
        """How often it was asked with this method."""
        return sum(line.startswith(f"{method} ") for line in self.asked)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.path_qs}")
            if self.busy:
                self.busy -= 1
                return _refused(503, "UNAVAILABLE", "try again later")
            if not self._may(request):
                return web.Response(status=401, headers={"WWW-Authenticate": self._challenge()})
            return await handler(request)

        return guarded

    def _challenge(self) -> str:
        if self.door is Door.BASIC:
            return 'Basic realm="a registry"'
        return f'Bearer realm="http://{self.host}/token",service="a registry",scope="repository:x:pull"'

    def _may(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        match self.door:
            case Door.OPEN:
                return True
            case Door.BASIC:
                return _knows(given)
            case Door.TOKEN:
                return f"repository:{request.match_info['name']}:pull,push" in self.tokens.get(
                    given[len("Bearer ") :], ()
                )

    async def _token(self, request: web.Request) -> web.Response:
        self.asked.append("GET token")
        if not _knows(request.headers.get("Authorization", "")) or request.query.get("service") != "a registry":
            return web.Response(status=401)
        token = secrets.token_hex(8)
        self.tokens[token] = set(request.query.getall("scope"))
        return web.json_response({"token": token, "expires_in": 300})

    async def _head_blob(self, request: web.Request) -> web.Response:
        there = request.match_info["digest"] in self.blobs.get(request.match_info["name"], ())
        return web.Response(status=200 if there else 404)

    async def _begin(self, request: web.Request) -> web.Response:
        assert request.method == "POST"
        name, digest, source = request.match_info["name"], request.query.get("mount"), request.query.get("from")
        if self.mounts and digest and digest in self.blobs.get(source or "", ()):
            self.blobs.setdefault(name, set()).add(digest)
            return web.Response(status=201, headers={"Location": f"/v2/{name}/blobs/{digest}"})
        upload = secrets.token_hex(8)
        self.uploads[upload] = name
        state = base64.urlsafe_b64encode(b"signed?").decode()
        return web.Response(status=202, headers={"Location": f"/v2/{name}/blobs/uploads/{upload}?_state={state}"})

    async def _put_blob(self, request: web.Request) -> web.Response:
        name, upload, digest = request.match_info["name"], request.match_info["upload"], request.query["digest"]
        if self.uploads.pop(upload, None) != name or request.query["_state"] != "c2lnbmVkPw==":
            return _refused(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        if self.breaks:
            self.breaks -= 1
            await request.content.read(1)
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        content = await request.read()
        self.received += len(content)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            return _refused(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.contents[digest] = content
        self.blobs.setdefault(name, set()).add(digest)
        return web.Response(status=201)

    async def _put_manifest(self, request: web.Request) -> web.Response:
        name, content = request.match_info["name"], await request.read()
        document = json.loads(content)
        named = {part["digest"] for part in (document["config"], *document["layers"])}
        if request.content_type != document["mediaType"]:
            return _refused(400, "MANIFEST_INVALID", "another media type")
        if lacking := named - self.blobs.get(name, set()):
            return _refused(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {sorted(lacking)}")
        self.manifests[name, request.match_info["tag"]] = content
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return web.Response(status=201, headers={"Docker-Content-Digest": digest})


def _knows(authorization: str) -> bool:
    return authorization == encode_basic_auth(USER, PASSWORD)


def _refused(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)
