"""The server under the application, for what happens before there is a request: even then the answer is a problem.

aiohttp answers what its parser refuses (a broken request line, a header that is too large) in text of its own; the two
classes here change that answer alone.
"""

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError, LineTooLong

from api.errors import MalformedRequest
from api.http.app import unexpected
from api.http.replies import problem_reply

_HEADER_BYTES = 16 << 10
_IDLE_SECONDS = 75.0
_LINGER_SECONDS = 5.0


class _Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What a request is answered with that never reached the application, or that broke it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, so another cannot be given") from exc
        if isinstance(exc, HttpProcessingError):
            response = problem_reply(_malformed(exc), "")
        else:
            response = problem_reply(unexpected(exc or RuntimeError(message or f"status {status}")), "")
        response.force_close()
        return response


def _malformed(error: HttpProcessingError) -> MalformedRequest:
    if isinstance(error, LineTooLong):
        return MalformedRequest(f"the request line and each header may have {_HEADER_BYTES} bytes")
    if isinstance(error, BadStatusLine):
        return MalformedRequest("this is not HTTP; is it TLS sent to a port without it?")
    return MalformedRequest(" ".join(error.message.split())[:200])


class _Server(web.Server):
    """Makes connections of that kind."""

    def __call__(self) -> web.RequestHandler:
        """What asyncio calls for each connection."""
        return _Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner, with our connections, no decompression behind our back and bounds on heads and silence."""

    def __init__(self, app: web.Application, shutdown_seconds: float) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=shutdown_seconds,
            auto_decompress=False,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            loop=asyncio.get_running_loop(),
            **made._kwargs,  # noqa: SLF001 - aiohttp has no other way to choose the class of a connection
        )
