"""Answers as bytes: JSON from the daemon's values, problems from its failures."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from api.problems import MEDIA_TYPE, headers_of, problem_of, status_of
from cache.errors import Failure


def json_reply(
    value: Any,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Any Struct or dataclass, as its schema says it."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def problem_reply(failure: Failure, instance: str) -> web.Response:
    """The problem document of a failure, with the status and the headers that belong to it."""
    return web.Response(
        body=msgspec.json.encode(problem_of(failure, instance)),
        status=status_of(failure),
        headers=headers_of(failure),
        content_type=MEDIA_TYPE,
    )


async def stream_reply(
    request: web.Request,
    pieces: AsyncGenerator[bytes, None],
    media_type: str,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Bytes as they come; closes where they come from.

    The first piece is awaited before anything is sent, so a failure to begin is still a problem with its own status.
    One that comes later can only be told by cutting the connection, which a client sees as an incomplete body.
    """
    response = web.StreamResponse(headers=headers)
    response.content_type = media_type
    async with aclosing(pieces):
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        first = await anext(pieces, b"")
        await response.prepare(request)
        try:
            await response.write(first)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            raise
        except Exception as error:
            request.protocol.force_close()
            raise ConnectionAbortedError("the answer could not be finished") from error
        return response
