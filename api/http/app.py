"""The aiohttp application: endpoints on their routes, and around every one of them access, problems and a log line.

Nothing else than this module and `api.http.connections` turns an exception into an answer.
"""

import secrets
import time
from collections.abc import Iterable

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.errors import MalformedRequest, MethodNotAllowed, NoSuchPath
from api.http.bodies import hold_go_ahead, require_known_expectation
from api.http.endpoint import Access, Endpoint
from api.http.guard import Guard
from api.http.replies import problem_reply
from cache.errors import Blame, Failure

_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_WITH_HEAD = "GET"


def make_app(endpoints: Iterable[Endpoint], guard: Guard) -> web.Application:
    """Route the endpoints; a GET answers HEAD too."""
    app = web.Application(middlewares=[_logged, _answered])
    for endpoint in endpoints:
        handler = endpoint.handler if endpoint.access is Access.OPEN else _guarded(endpoint, guard)
        app.router.add_route(endpoint.method, endpoint.path, handler, expect_handler=hold_go_ahead)
        if endpoint.method == _WITH_HEAD:
            app.router.add_route(hdrs.METH_HEAD, endpoint.path, handler, expect_handler=hold_go_ahead)
    return app


def _guarded(endpoint: Endpoint, guard: Guard) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        guard.admit(request)
        return await endpoint.handler(request)

    return handle


@web.middleware
async def _logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line per request, without its query and headers, which may hold secrets."""
    log = structlog.get_logger("bloomery.http")
    began = time.monotonic()
    status = 499  # the client left before there was an answer; nginx's word for it
    try:
        response = await handler(request)
        status = response.status
    finally:
        level = log.debug if request.path in _QUIET else log.info
        level(
            "request",
            method=request.method,
            path=request.path[:200],
            status=status,
            seconds=round(time.monotonic() - began, 4),
            remote=request.remote,
        )
    return response


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure as a problem; one that comes before the body has been read also ends the connection."""
    try:
        require_known_expectation(request)
        return await handler(request)
    except web.HTTPMethodNotAllowed as refused:
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(
                status=204, headers={hdrs.ALLOW: ", ".join(sorted({*refused.allowed_methods, "OPTIONS"}))}
            )
        failure: Failure = _not_allowed(request, refused)
    except web.HTTPNotFound:
        failure = NoSuchPath(f"{request.path[:200]} is no path of this API; /openapi.json lists them all")
    except web.HTTPException as refused:
        if refused.status < web.HTTPBadRequest.status_code:
            raise
        failure = MalformedRequest(refused.text or refused.reason)
    except ConnectionError:
        raise  # whoever asked is gone
    except Failure as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - the last stop: logged, and answered without its words
        return _refused(request, unexpected(error), incident=True)
    if failure.blame is Blame.INFRASTRUCTURE:
        structlog.get_logger("bloomery.http").warning(
            "refused", path=request.path[:200], kind=failure.kind, detail=failure.detail
        )
    return _refused(request, failure)


def unexpected(error: BaseException) -> Failure:
    """The failure that stands for an error nobody foresaw: its words go to the log, under an id that the answer has."""
    incident = secrets.token_hex(8)
    structlog.get_logger("bloomery.http").error("unexpected error", incident=incident, exc_info=error)
    return Failure(
        f"this is a fault of the daemon; its log has more under incident {incident}",
        incident=incident,
    )


def _refused(request: web.Request, failure: Failure, *, incident: bool = False) -> web.Response:
    instance = f"urn:bloomery:incident:{failure.evidence['incident']}" if incident else request.rel_url.raw_path
    response = problem_reply(failure, instance)
    if not request.content.is_eof():
        response.force_close()  # what the client still sends is not the next request
    return response


def _not_allowed(request: web.Request, refused: web.HTTPMethodNotAllowed) -> MethodNotAllowed:
    allowed = sorted({*refused.allowed_methods, hdrs.METH_OPTIONS})
    return MethodNotAllowed(
        f"{request.path[:200]} takes {', '.join(allowed)}, not {request.method[:20]}", allowed=[*allowed]
    )
