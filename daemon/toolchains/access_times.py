"""Whether an engine's access times tell what a sandbox has read (law 13): tried once, in a sandbox of that very engine.

A program reads files in all ways that a build may, and the listing afterwards must show each of them as read, and as
unread what nobody touched. One miss, and what builds have opened counts as unknown: no image is reused because of it.
The answer is kept for the engine, its storage driver, its kernel and the runtime.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Protocol

import msgspec
import structlog

from cache.digest import Digest
from cache.errors import Failure
from daemon import tarball
from daemon.ecosystems.step import SOURCE_TIME, UNREAD_TIME, Reads
from daemon.engine.engine import EngineInfo, Limits, OutputStream, Sandboxes, SandboxSpec, Survey

VERSION = 1
"""What an answer is marked with; a program that tries something else gets the next one."""
_LIMITS = Limits(deadline=120.0, silence=120.0, output=1 << 20)
_CONTROL = "control"
"""Read by nobody."""
_LOWER = "lower"
"""A file of the image."""
_MUST_WORK = ("fs-copy", "io-copy", "link", "mmap", "read", "sendfile", "splice")
_MAY_BE_REFUSED = ("clone", "copy-file-range", "hard-link", "no-atime")
WAYS = (*_MUST_WORK, *_MAY_BE_REFUSED)
_SCRIPT = f"""\
set -eu
listed() {{
    find /work/ways -type f -printf "$1 %A@ %P\\n"
    find /etc/passwd -printf "$1 %A@ {_LOWER}\\n"
}}
rustc --edition 2021 -C debuginfo=0 -o /tmp/ways /work/ways.rs
listed before
/tmp/ways
listed after
echo end
"""


class Answers(Protocol):
    """Where the answers of engines are kept."""

    async def access_times(self, engine: Digest) -> bytes | None:
        """The JSON that was recorded for an engine, or None."""
        ...

    async def record_access_times(self, engine: Digest, answer: bytes) -> None:
        """Keep it."""
        ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; no miss means that access times tell."""

    misses: tuple[str, ...]


class AccessTimes:
    """Answers for one engine; the first who asks has it tried."""

    def __init__(
        self,
        *,
        survey: Survey,
        sandboxes: Sandboxes,
        answers: Answers,
        labels: Mapping[str, str],
        runtime: str | None = None,
    ) -> None:
        self._survey = survey
        self._sandboxes = sandboxes
        self._answers = answers
        self._labels = labels
        self._runtime = runtime
        self._asking = asyncio.Lock()
        self._known: Reads | None = None

    async def reads(self, image: str) -> Reads:
        """What access times tell; `image` is a toolchain to try it in. Unknown where the engine does not answer."""
        async with self._asking:
            if self._known is None:
                try:
                    self._known = await self._found(image)
                except Failure as failure:
                    structlog.get_logger().info("observed.not_tried", kind=failure.kind, detail=failure.detail)
                    return Reads.UNKNOWN
            return self._known

    async def _found(self, image: str) -> Reads:
        info = await self._survey.info()
        engine = self._engine(info)
        answer = _read(await self._answers.access_times(engine))
        if answer is None:
            answer = Answer(misses=await self._tried(image))
            await self._answers.record_access_times(engine, msgspec.json.encode(answer))
        if answer.misses:
            structlog.get_logger().warning(
                "observed.off", engine=f"{info.name} {info.version}", storage=info.driver, misses=list(answer.misses)
            )
            return Reads.UNKNOWN
        return Reads.TOLD

    def _engine(self, info: EngineInfo) -> Digest:
        told = [VERSION, info.name, info.version, info.driver, info.root, info.kernel, self._runtime]
        return Digest.of(msgspec.json.encode(told))

    async def _tried(self, image: str) -> tuple[str, ...]:
        spec = SandboxSpec(
            name=f"bloomery-access-times-{secrets.token_hex(6)}",
            image=image,
            command=("sh", "-c", _SCRIPT),
            labels={**self._labels, "bloomery.step": "access-times"},
            runtime=self._runtime,
            limits=_LIMITS,
        )
        said = bytearray()

        def hear(stream: OutputStream, piece: bytes) -> None:
            if stream is OutputStream.STDOUT:
                said.extend(piece)

        sandbox = await self._sandboxes.create(spec)
        try:
            await self._sandboxes.put(sandbox, tarball.stream(_members()))
            ended = await self._sandboxes.run(sandbox, hear, _LIMITS)
        finally:
            await self._sandboxes.remove(sandbox)
        return ("the trial itself",) if ended.code else misses(said.decode(errors="replace").splitlines())


def misses(said: Sequence[str]) -> tuple[str, ...]:
    """What access times do not tell, by the output of the trial."""
    if not said or said[-1] != "end":
        return ("the trial itself",)
    unread: dict[str, set[str]] = {"before": set(), "after": set()}
    tried: dict[str, str] = {}
    for line in said[:-1]:
        word, _, rest = line.partition(" ")
        if word in unread:
            time, _, name = rest.partition(" ")
            if time.partition(".")[0] == str(UNREAD_TIME):
                unread[word].add(name)
        else:
            tried[rest.partition(" ")[0]] = word
    found = []
    if _CONTROL not in unread["after"]:
        found.append("a file that nobody has read")
    if _LOWER in unread["before"] | unread["after"]:
        found.append("a file of the image")
    for way in WAYS:
        refused = tried.get(way) == "refused" and way in _MAY_BE_REFUSED
        seen = tried.get(way) == "read" and way not in unread["after"]
        if way not in unread["before"] or not (seen or refused):
            found.append(way)
    return tuple(found)


def _members() -> Iterator[tarball.Member]:
    program = files("daemon.toolchains").joinpath("access_times.rs").read_bytes()
    yield tarball.Member(path="work", mode=0o777, mtime=SOURCE_TIME)
    yield tarball.Member(path="work/ways.rs", mode=0o666, mtime=SOURCE_TIME, content=program)
    yield tarball.Member(path="work/ways", mode=0o777, mtime=SOURCE_TIME)
    for way in (*WAYS, _CONTROL):
        content = way.encode() * 1000
        yield tarball.Member(path=f"work/ways/{way}", mode=0o666, mtime=SOURCE_TIME, atime=UNREAD_TIME, content=content)
    yield tarball.Member(path="work/ways/alias", mode=0o777, mtime=SOURCE_TIME, target="link")


def _read(text: bytes | None) -> Answer | None:
    try:
        return None if text is None else msgspec.json.decode(text, type=Answer)
    except msgspec.DecodeError:
        return None
