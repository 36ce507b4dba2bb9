"""Request bodies: streams with bounds on bytes and time, and JSON documents against their schema.

A body that is refused is refused as early as can be: by its announced length before it is sent (a client that asked
with `Expect: 100-continue` gets its answer instead of the go-ahead), otherwise at the first byte too many.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from aiohttp import web

from api.errors import (
    BodyCut,
    InvalidRequest,
    MalformedJson,
    UnsupportedMediaType,
)
from cache.archive_errors import UploadTooSlow, too_large

T = TypeVar("T")
Query = TypeVar("Query", bound=msgspec.Struct)

_AT = re.compile(r"(?P<what>.*) - at `(?P<path>[^`]*)`", re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What one body may be; bytes and seconds."""

    archive: int = 64 << 20
    """A tar stream as it comes, compressed or not."""
    blob: int = 512 << 20
    document: int = 16 << 20
    """A JSON document; it is held whole."""
    idle: float = 30.0
    """How long nothing may come."""
    total: float = 300.0


async def hold_go_ahead(_: web.Request) -> None:
    """Aiohttp's `expect_handler`: the go-ahead waits until `stream` wants the first byte."""


def require_known_expectation(request: web.Request) -> None:
    """Refuse an Expect header that asks for anything else than a go-ahead."""
    expected = request.headers.get("Expect", "100-continue")
    if expected.lower() != "100-continue":
        raise InvalidRequest(f"Expect: {expected[:100]} is not understood; leave it out", path="header.Expect")


async def stream(request: web.Request, limit: int, limits: BodyLimits) -> AsyncGenerator[bytes]:
    """The body's pieces as they come; raises `UploadTooLarge`, `UploadTooSlow` and `BodyCut`."""
    announced = request.content_length
    if announced is not None and announced > limit:
        raise too_large("body", f"the body has more than {limit:,} bytes", limit)
    if request.headers.get("Expect") and request.writer.output_size == 0:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
    got = 0
    end = time.monotonic() + limits.total
    while True:
        left = end - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(limits.idle, left))):
                piece = await request.content.readany()
        except TimeoutError:
            raise _too_slow(limits, left) from None
        except (web.RequestPayloadError, OSError) as error:
            raise BodyCut("the connection ended before the body did; send it again") from error
        if not piece:
            return
        got += len(piece)
        if got > limit:
            raise too_large("body", f"the body has more than {limit:,} bytes", limit)
        yield piece


def _too_slow(limits: BodyLimits, left: float) -> UploadTooSlow:
    if left < limits.idle:
        return UploadTooSlow(f"the body took longer than {limits.total:g} seconds", limit="total", allowed=limits.total)
    return UploadTooSlow(f"nothing came for {limits.idle:g} seconds", limit="idle", allowed=limits.idle)


def require_media_type(request: web.Request, taken: tuple[str, ...]) -> None:
    """Refuse a body of a type that is not read here."""
    if request.content_type not in taken:
        raise UnsupportedMediaType(
            f"Content-Type {request.content_type[:100]} is not read here; send one of {', '.join(taken)}",
            taken=list(taken),
        )


async def document(request: web.Request, schema: type[T], limits: BodyLimits) -> T:
    """A JSON body as its schema says; raises `MalformedJson` with the position and `InvalidRequest` with the path."""
    require_media_type(request, ("application/json",))
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType("JSON is read uncompressed; leave out Content-Encoding", taken=["identity"])
    content = bytearray()
    async for piece in stream(request, limits.document, limits):
        content += piece
    try:
        return msgspec.json.decode(content, type=schema)
    except msgspec.ValidationError as error:
        raise _invalid(error, "the body") from None
    except msgspec.DecodeError as error:
        found = _BYTE.search(str(error))
        raise _malformed(str(error), content, int(found[1]) if found else len(content)) from None
    except UnicodeDecodeError:
        raise _malformed("the body is not UTF-8", content, _valid_bytes(content)) from None


def _malformed(detail: str, content: bytes | bytearray, byte: int) -> MalformedJson:
    before = bytes(content[:byte])
    line = before.count(b"\n") + 1
    column = byte - (before.rfind(b"\n") + 1) + 1
    return MalformedJson(f"{detail}, at line {line}, column {column}", byte=byte, line=line, column=column)


def _valid_bytes(content: bytes | bytearray) -> int:
    """How many bytes from the start are UTF-8; msgspec counts from the start of the text that holds the bad one."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(content)


def _invalid(error: msgspec.ValidationError, where: str) -> InvalidRequest:
    """The validator's words, with the path apart."""
    found = _AT.fullmatch(str(error))
    what, path = (found["what"], found["path"]) if found else (str(error), "$")
    return InvalidRequest(f"{what} (in {where}, at {path})", path=path)


def query(request: web.Request, schema: type[Query]) -> Query:
    """The query parameters as their schema says; only a field that is a list may come more than once."""
    given: dict[str, str | list[str]] = {}
    kinds = {field.encode_name: msgspec.inspect.type_info(field.type) for field in msgspec.structs.fields(schema)}
    for name in request.query:
        if name not in kinds:
            known = ", ".join(sorted(kinds))
            raise InvalidRequest(
                f"there is no query parameter {name[:100]} here; there are {known}", path=f"query.{name[:100]}"
            )
        values = request.query.getall(name)
        if _is_list(kinds[name]):
            given[name] = values
        elif len(values) > 1:
            raise InvalidRequest(f"the query parameter {name[:100]} may come once", path=f"query.{name[:100]}")
        else:
            given[name] = values[0]
    try:
        return msgspec.convert(given, schema, strict=False)
    except msgspec.ValidationError as error:
        failure = _invalid(error, "the query")
        raise InvalidRequest(failure.detail, path=str(failure.evidence["path"]).replace("$", "query", 1)) from None


def _is_list(kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.Metadata):
        return _is_list(kind.type)
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(_is_list(each) for each in kind.types)
    return isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.ListType)
