"""The daemon itself: metrics, health, readiness, toolchains, and its own description."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from api.http.endpoint import Access, Endpoint, JsonForm, Reply, StreamForm
from api.http.readiness import Finding
from api.http.replies import json_reply
from api.http.schemas.system import (
    CheckAnswer,
    HealthAnswer,
    PythonAnswer,
    ReadyAnswer,
    ToolchainAnswer,
    ToolchainsAnswer,
)
from daemon.errors import EngineUnavailable
from daemon.toolchains.toolchain import Toolchain

METRICS_TYPE = "text/plain"
OPENAPI_TYPE = "application/json"


class Readiness(Protocol):
    """Runs the checks that readiness is made of."""

    async def findings(self) -> tuple[Finding, ...]:
        """Each check's finding."""
        ...


class Toolchains(Protocol):
    """What is offered."""

    async def offered(self) -> tuple[Toolchain, ...]:
        """All offered toolchains, by name; the engine's failures."""
        ...


class SystemHandlers:
    """What operators, load balancers and generators of clients ask."""

    def __init__(
        self,
        readiness: Readiness,
        toolchains: Toolchains,
        registry: CollectorRegistry,
        description: Callable[[], bytes],
    ) -> None:
        self._readiness = readiness
        self._toolchains = toolchains
        self._registry = registry
        self._description = description

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus's text."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def health(self, _: web.Request) -> web.Response:
        """The loop turns, or this would not answer."""
        return json_reply(HealthAnswer())

    async def ready(self, _: web.Request) -> web.Response:
        """Would a build run now?"""
        findings = await self._readiness.findings()
        ready = all(finding.ready for finding in findings)
        checks = tuple(
            CheckAnswer(name=finding.name, ready=finding.ready, detail=finding.detail) for finding in findings
        )
        return json_reply(
            ReadyAnswer(ready=ready, checks=checks),
            HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
        )

    async def toolchains(self, _: web.Request) -> web.Response:
        """What a source or a request can pick."""
        offered = await self._toolchains.offered()
        return json_reply(ToolchainsAnswer(toolchains=tuple(map(_shown, offered))))

    async def openapi(self, _: web.Request) -> web.Response:
        """This API."""
        return web.Response(body=self._description(), content_type=OPENAPI_TYPE)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What the router serves."""
        ready = (JsonForm(schema=ReadyAnswer),)
        return (
            Endpoint(
                method="GET",
                path="/v1/toolchains",
                operation="listToolchains",
                summary="The toolchains that are offered",
                handler=self.toolchains,
                tag="system",
                replies=(Reply(description="By name", forms=(JsonForm(schema=ToolchainsAnswer),)),),
                failures=(EngineUnavailable,),
            ),
            Endpoint(
                method="GET",
                path="/metrics",
                operation="metrics",
                summary="Metrics for Prometheus",
                handler=self.metrics,
                tag="system",
                replies=(
                    Reply(
                        description="Prometheus's text format, or OpenMetrics by Accept",
                        forms=(
                            StreamForm(media_type=METRICS_TYPE),
                            StreamForm(media_type="application/openmetrics-text"),
                        ),
                    ),
                ),
            ),
            Endpoint(
                method="GET",
                path="/healthz",
                operation="health",
                summary="The daemon's loop turns",
                handler=self.health,
                tag="system",
                replies=(Reply(description="Alive", forms=(JsonForm(schema=HealthAnswer),)),),
                access=Access.OPEN,
            ),
            Endpoint(
                method="GET",
                path="/readyz",
                operation="ready",
                summary="Whether a build would run now: engine, disk, queue, toolchains",
                handler=self.ready,
                tag="system",
                replies=(
                    Reply(description="It would", forms=ready),
                    Reply(
                        status=HTTPStatus.SERVICE_UNAVAILABLE,
                        description="It would not; the checks say why",
                        forms=ready,
                    ),
                ),
                access=Access.OPEN,
            ),
            Endpoint(
                method="GET",
                path="/openapi.json",
                operation="describe",
                summary="This API as an OpenAPI 3.1 document",
                handler=self.openapi,
                tag="system",
                replies=(Reply(description="The document", forms=(StreamForm(media_type=OPENAPI_TYPE),)),),
            ),
        )


def _shown(toolchain: Toolchain) -> ToolchainAnswer:
    facts = toolchain.facts
    return ToolchainAnswer(
        name=toolchain.name,
        image=toolchain.image_reference,
        image_id=facts.image_id,
        release=facts.release,
        commit_date=facts.commit_date,
        host=facts.host,
        cargo=facts.cargo_version,
        libc=facts.libc,
        python=None if facts.python is None else PythonAnswer(version=facts.python.version, uv=facts.python.uv),
    )
