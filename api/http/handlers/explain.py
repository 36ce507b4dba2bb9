"""What a build would reuse, and why not more, without building."""

from typing import Protocol

from aiohttp import web

from api.errors import BodyCut, ForeignScope, InvalidRequest, MalformedJson, UnsupportedMediaType
from api.http.bodies import BodyLimits, document
from api.http.endpoint import Endpoint, JsonForm, Reply
from api.http.guard import scope_of
from api.http.replies import json_reply
from api.http.schemas.builds import BuildBody
from cache.archive_errors import UploadTooLarge, UploadTooSlow
from cache.errors import Failure
from daemon.builds import BuildRequest
from daemon.errors import EngineUnavailable, MissingBlobs, NoToolchain, UnknownToolchain, UnknownTree
from daemon.pipeline.explain import Explanation


class Explainer(Protocol):
    """Plans without building."""

    async def explain(self, request: BuildRequest) -> Explanation:
        """What a build of this request would stand on now; the failures are those of the plan stage."""
        ...


class ExplainHandlers:
    """The one endpoint of the explainer."""

    def __init__(self, explainer: Explainer, source_failures: tuple[type[Failure], ...], limits: BodyLimits) -> None:
        """`source_failures` are what manifests can be refused for, which the ecosystems know."""
        self._explainer = explainer
        self._source_failures = source_failures
        self._limits = limits

    async def explain(self, request: web.Request) -> web.Response:
        """Plan the build that the body asks for."""
        body = await document(request, BuildBody, self._limits)
        return json_reply(await self._explainer.explain(body.value(scope_of(request, body.scope))))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What the router serves."""
        return (
            Endpoint(
                method="POST",
                path="/v1/explain",
                operation="explainBuild",
                summary="The plan of a build, what it would reuse, and why not more, without building",
                handler=self.explain,
                tag="builds",
                body=(JsonForm(schema=BuildBody),),
                replies=(Reply(description="The plan", forms=(JsonForm(schema=Explanation),)),),
                failures=(
                    UploadTooLarge,
                    UploadTooSlow,
                    BodyCut,
                    MalformedJson,
                    InvalidRequest,
                    UnsupportedMediaType,
                    ForeignScope,
                    UnknownTree,
                    MissingBlobs,
                    UnknownToolchain,
                    NoToolchain,
                    EngineUnavailable,
                    *self._source_failures,
                ),
            ),
        )
