"""What came out of a build, for download: images, their contents, symbols, and a lock that was made for the source."""

from collections.abc import AsyncGenerator
from http import HTTPStatus
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec
from aiohttp import web

from api.errors import InvalidRequest
from api.http.bodies import query
from api.http.endpoint import Endpoint, JsonForm, Reply, StreamForm
from api.http.guard import Records, visible_build
from api.http.replies import json_reply, stream_reply
from api.http.schemas.artifacts import ContentsAnswer, ImageQuery
from daemon.builds import Build, BuildState, BuiltImage, ContentEntry
from daemon.errors import EngineUnavailable, NotReady, UnknownBuild

ARCHIVE_TYPE = "application/x-tar"


class Artifacts(Protocol):
    """What builds left behind."""

    def archive(self, image: BuiltImage) -> AsyncGenerator[bytes, None]:
        """The OCI archive of an image; `NotReady` when what it is made of is gone."""
        ...

    async def blob(self, digest: str) -> Path:
        """A kept blob's file; `NotReady` when it is gone."""
        ...


class ArtifactHandlers:
    """Downloads; each is of one build, and where it made several images, of one of them."""

    def __init__(self, records: Records, artifacts: Artifacts) -> None:
        self._records = records
        self._artifacts = artifacts

    async def image(self, request: web.Request) -> web.StreamResponse:
        """The OCI archive."""
        image = await self._image(request)
        headers = {"Content-Disposition": _attachment(image.binary, ".tar"), "Docker-Content-Digest": image.digest}
        return await stream_reply(request, self._artifacts.archive(image), ARCHIVE_TYPE, headers)

    async def contents(self, request: web.Request) -> web.StreamResponse:
        """Every file and why it is there."""
        image = await self._image(request)
        listed = (await self._artifacts.blob(image.contents)).read_bytes()
        entries = msgspec.json.decode(listed, type=tuple[ContentEntry, ...])
        return json_reply(ContentsAnswer(binary=image.binary, digest=image.digest, entries=entries))

    async def symbols(self, request: web.Request) -> web.StreamResponse:
        """The debug symbols that were kept apart."""
        image = await self._image(request)
        if image.symbols is None:
            raise NotReady(
                f"the binary {image.binary} has no debug symbols; ask for them in its profile (debug = true)"
            )
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": _attachment(image.binary, ".debug"),
        }
        return web.FileResponse(await self._artifacts.blob(image.symbols), headers=headers)

    async def lockfile(self, request: web.Request) -> web.StreamResponse:
        """The lock that was made because the source has none."""
        build = await visible_build(request, self._records)
        _require_succeeded(build)
        assert build.outcome is not None
        if build.outcome.lockfile is None:
            raise NotReady("the source has a lock of its own, so none was made")
        headers = {
            "Content-Type": "application/toml",
            "Content-Disposition": 'attachment; filename="Cargo.lock"',
        }
        return web.FileResponse(await self._artifacts.blob(build.outcome.lockfile), headers=headers)

    async def _image(self, request: web.Request) -> BuiltImage:
        wanted = query(request, ImageQuery).binary
        build = await visible_build(request, self._records)
        _require_succeeded(build)
        assert build.outcome is not None
        images = build.outcome.images
        names = [image.binary for image in images]
        listed = ", ".join(names)
        if wanted is None and len(images) != 1:
            raise InvalidRequest(
                f"this build made several images; name one with ?binary= or --bin, of {listed}",
                path="query.binary",
                binaries=[*names],
            )
        for image in images:
            if wanted in {None, image.binary}:
                return image
        raise InvalidRequest(
            f"this build made no image of {wanted}; it made {listed}",
            path="query.binary",
            binaries=[*names],
        )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What the router serves."""
        failures = (UnknownBuild, NotReady)
        return (
            Endpoint(
                method="GET",
                path="/v1/builds/{id}/image",
                operation="downloadImage",
                summary="The image as an OCI archive, which `docker load` and `skopeo` read",
                handler=self.image,
                tag="artifacts",
                query=ImageQuery,
                replies=(
                    Reply(
                        description="The archive",
                        forms=(StreamForm(media_type=ARCHIVE_TYPE),),
                        headers={"Docker-Content-Digest": "The OCI image manifest's digest"},
                    ),
                ),
                failures=(*failures, InvalidRequest, EngineUnavailable),
            ),
            Endpoint(
                method="GET",
                path="/v1/builds/{id}/contents",
                operation="listContents",
                summary="Every file of the image and why it is there",
                handler=self.contents,
                tag="artifacts",
                query=ImageQuery,
                replies=(Reply(description="The files", forms=(JsonForm(schema=ContentsAnswer),)),),
                failures=(*failures, InvalidRequest),
            ),
            Endpoint(
                method="GET",
                path="/v1/builds/{id}/symbols",
                operation="downloadSymbols",
                summary="The debug symbols that were stripped from the binary",
                handler=self.symbols,
                tag="artifacts",
                query=ImageQuery,
                replies=(
                    Reply(description="An ELF file", forms=(StreamForm(media_type="application/octet-stream"),)),
                    Reply(
                        status=HTTPStatus.PARTIAL_CONTENT,
                        description="The range that was asked for",
                        forms=(StreamForm(media_type="application/octet-stream"),),
                    ),
                ),
                failures=(*failures, InvalidRequest),
            ),
            Endpoint(
                method="GET",
                path="/v1/builds/{id}/lockfile",
                operation="downloadLockfile",
                summary="The Cargo.lock that was made because the source has none",
                handler=self.lockfile,
                tag="artifacts",
                replies=(Reply(description="The lock", forms=(StreamForm(media_type="application/toml"),)),),
                failures=failures,
            ),
        )


def _require_succeeded(build: Build) -> None:
    if build.state is BuildState.SUCCEEDED and build.outcome is not None:
        return
    if build.state.final:
        raise NotReady(f"the build {build.state}, so it made nothing to download", state=str(build.state))
    raise NotReady(f"the build is {build.state}; follow its events and ask again at its end", state=str(build.state))


def _attachment(name: str, suffix: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}{suffix}"
