"""An engine in memory, with the parts and refusals of `daemon.engine.docker.DockerEngine`.

Containers hold a filesystem as a dict of absolute path to `Member`; what a step does is a script:

    engine = FakeEngine()
    engine.add_image("toolchain:1", {"/bin/sh": file(b"…")})
    engine.script(compile_app)      # def compile_app(step): step.write("/target/app", b"…"); return 0

A script gets a `Step` and returns an exit code or an `Exit`; it may be a coroutine function, and then limits,
cancellation and removal end it where it awaits. Without a script a step prints nothing and exits with 0.
`engine.fail("commit", NoSpace("…"))` makes the next call of that method raise; `engine.down = True` makes them all.
"""

import asyncio
import hashlib
import inspect as reflection
import io
import itertools
import json
import posixpath
import shlex
import tarfile
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from cache.errors import Failure
from daemon.engine.engine import (
    EngineImage,
    EngineInfo,
    Exit,
    Limits,
    Network,
    OutputSink,
    OutputStream,
    Sandbox,
    SandboxSpec,
    SandboxState,
)
from daemon.engine.names import repository_and_tag
from daemon.engine.stream import TarEnd, plain
from daemon.errors import DeadlinePassed, EngineRefused, EngineUnavailable, ImageGone, OutputTooLarge, SandboxGone
from daemon.tarball import Member, pieces

Files = dict[str, Member]
_PIECE = 65536
_NEVER = "0001-01-01T00:00:00Z"


def file(content: bytes, mode: int = 0o644, **more: Any) -> Member:
    """A regular file of a fake filesystem; its path is given by its key."""
    return Member(path="", mode=mode, mtime=more.pop("mtime", 0), content=content, **more)


@dataclass(slots=True)
class FakeImage:
    """An image in the fake engine or in its registry."""

    id: str
    files: Files
    tags: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    """The OCI config of a loaded image."""


@dataclass(slots=True)
class FakeSandbox:
    """A container in the fake engine."""

    id: str
    spec: SandboxSpec
    image: FakeImage
    files: Files
    state: str = "created"
    runs: int = 0
    generation: str = _NEVER
    """When its last run ended, by a clock that goes on with each run in the engine."""
    running: "asyncio.Future[Exit] | None" = None


class Step:
    """What a script is given: the container as its process would see it."""

    def __init__(self, sandbox: FakeSandbox, sink: Callable[[OutputStream, bytes], None]) -> None:
        self.spec = sandbox.spec
        self.command = sandbox.spec.command
        self.environment = {**sandbox.image.environment, **sandbox.spec.environment}
        self.files = sandbox.files
        self.run = sandbox.runs
        """1 in the container's first run."""
        self._sink = sink

    def print(self, text: str | bytes, stream: OutputStream = OutputStream.STDOUT) -> None:
        """Print something, as it is."""
        self._sink(stream, text.encode() if isinstance(text, str) else text)

    def complain(self, text: str | bytes) -> None:
        """Print something to stderr."""
        self.print(text, OutputStream.STDERR)

    def read(self, path: str) -> bytes:
        """A file's content; `FileNotFoundError` where there is none."""
        member = self.files.get(path)
        if member is None or member.content is None:
            raise FileNotFoundError(path)
        return member.content

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Make or replace a file, with the directories above it."""
        _place(self.files, path, file(content, mode, mtime=int(time.time()), uid=10001, gid=10001))

    def delete(self, path: str) -> None:
        """Remove a path and everything below it."""
        for below in _below(self.files, path):
            del self.files[below]


Script = Callable[[Step], "int | Exit | Awaitable[int | Exit]"]


class FakeEngine:
    """The whole engine; `sandboxes`, `images` and `survey` are its parts, as `DockerEngine` has them."""

    def __init__(self, *, host_cpus: int = 2, driver: str = "overlay2") -> None:
        self.containers: dict[str, FakeSandbox] = {}
        self.stored: dict[str, FakeImage] = {}
        self.registry: dict[str, FakeImage] = {}
        """What `pull` finds, by full reference."""
        self.calls: list[tuple[str, str]] = []
        """Each call in order: its method, such as `sandboxes.create`, and what it names."""
        self.down = False
        self.url = "fake://"
        self.sandboxes = _Sandboxes(self)
        self.images = _Images(self)
        self.survey = _Survey(self)
        self.script_of: Script = lambda _step: 0
        self.about = EngineInfo(
            name="Fake",
            version="0",
            api="1.41",
            driver=driver,
            root="/nowhere",
            runtimes=("runc",),
            security=("name=seccomp,profile=default",),
            host_cpus=host_cpus,
            host_memory=8 << 30,
            cgroup="2",
        )
        self._faults: dict[str, deque[Exception]] = {}
        self._numbers = itertools.count(1)
        self._moments = itertools.count(1)

    async def close(self) -> None:
        """Give nothing back."""

    # --- what tests do to it

    def script(self, script: Script) -> None:
        """What every step does from now on."""
        self.script_of = script

    def fail(self, method: str, failure: Exception, times: int = 1) -> None:
        """Let the next calls of a method (`create`, `commit`, `images.load`, …) raise this."""
        self._faults.setdefault(method, deque()).extend([failure] * times)

    def add_image(self, reference: str, files: Mapping[str, Member] | None = None, **more: Any) -> FakeImage:
        """Put an image into the engine."""
        image = FakeImage(id=self.identify("image"), files={}, **more)
        for path, member in (files or {}).items():
            _place(image.files, path, member)
        self.store(image, reference)
        return image

    def kill(self, sandbox: str) -> None:
        """Kill a running container from outside, as an operator would."""
        container = self.container(sandbox)
        _end(container, SandboxGone("The container was killed from outside while its step ran"))

    # --- what its parts share

    def enter(self, method: str, subject: str) -> None:
        """A call arrives: it is noted, and fails if it should."""
        self.calls.append((method, subject))
        if self.down:
            raise EngineUnavailable("The fake engine is down")
        for name in (method, method.rpartition(".")[2]):
            if self._faults.get(name):
                raise self._faults[name].popleft()

    def identify(self, what: str) -> str:
        """A new id."""
        digest = hashlib.sha256(f"{what} {next(self._numbers)}".encode()).hexdigest()
        return f"sha256:{digest}" if what == "image" else digest

    def moment(self) -> str:
        """A time that no other run ended at."""
        return f"2001-01-01T00:00:00.{next(self._moments):09}Z"

    def container(self, name: str) -> FakeSandbox:
        """By id, its beginning, or name."""
        for container in self.containers.values():
            if container.id.startswith(name) or container.spec.name == name:
                return container
        raise SandboxGone(f"No such container: {name}")

    def stopped(self, name: str, what: str) -> FakeSandbox:
        """The same, and `EngineRefused` while it runs."""
        container = self.container(name)
        if container.state == "running":
            raise EngineRefused(f"The container {name[:12]} is running, so it cannot be {what}")
        return container

    def find(self, reference: str) -> FakeImage | None:
        """An image by id or name."""
        if image := self.stored.get(reference) or self.stored.get(f"sha256:{reference}"):
            return image
        full = _full(reference)
        return next((image for image in self.stored.values() if full in image.tags), None)

    def store(self, image: FakeImage, reference: str | None) -> FakeImage:
        """Keep an image, or the one that is already there under its id, under one more name."""
        image = self.stored.setdefault(image.id, image)
        if reference is not None:
            full = _full(reference)
            for other in self.stored.values():
                other.tags.discard(full)
            image.tags.add(full)
        return image


class _Sandboxes:
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    async def create(self, spec: SandboxSpec) -> str:
        self._engine.enter("sandboxes.create", spec.name)
        image = self._engine.find(spec.image)
        if image is None:
            raise ImageGone(f"No such image: {spec.image}")
        if any(other.spec.name == spec.name for other in self._engine.containers.values()):
            raise EngineRefused(f"The name {spec.name} is already in use", status=409)
        made = FakeSandbox(id=self._engine.identify("container"), spec=spec, image=image, files=dict(image.files))
        _place(made.files, spec.working_directory, Member(path="", mode=0o755, mtime=0), keep=True)
        self._engine.containers[made.id] = made
        return made.id

    async def put(self, sandbox: str, archive: AsyncGenerator[bytes, None]) -> None:
        async with aclosing(archive):
            self._engine.enter("sandboxes.put", sandbox)
            container = self._engine.stopped(sandbox, "put into")
            _unpack(await _whole(archive), container.files)

    async def run(self, sandbox: str, sink: OutputSink, limits: Limits) -> Exit:
        self._engine.enter("sandboxes.run", sandbox)
        container = self._engine.stopped(sandbox, "started")
        container.state, container.runs = "running", container.runs + 1
        container.running = asyncio.get_running_loop().create_future()
        try:
            return await _Run(container, sink, limits, self._engine.script_of).finish()
        finally:
            container.state, container.running = "exited", None
            container.generation = self._engine.moment()

    async def get(self, sandbox: str, path: str) -> AsyncGenerator[bytes, None]:
        self._engine.enter("sandboxes.get", sandbox)
        files = self._engine.stopped(sandbox, "read").files
        root = posixpath.normpath(path)
        name = "." if path.endswith("/.") else posixpath.basename(root) or "."
        found = [
            replace(files[below], path=posixpath.normpath(f"{name}/{below[len(root.rstrip('/')) :]}"))
            for below in _below(files, root)
        ]
        if not found:
            raise FileNotFoundError(f"There is no {path} in the container {sandbox[:12]}")
        data = b"".join(pieces(found))
        for start in range(0, len(data), _PIECE):
            yield data[start : start + _PIECE]

    async def isolate(self, sandbox: str) -> None:
        self._engine.enter("sandboxes.isolate", sandbox)
        container = self._engine.stopped(sandbox, "taken off its network")
        if container.spec.network is Network.HOST:
            raise EngineRefused("container cannot be disconnected from host network")
        container.spec = replace(container.spec, network=Network.NONE)

    async def remove(self, sandbox: str) -> None:
        self._engine.enter("sandboxes.remove", sandbox)
        try:
            container = self._engine.container(sandbox)
        except SandboxGone:
            return
        del self._engine.containers[container.id]
        _end(container, SandboxGone("The container was removed while its step ran"))


class _Run:
    """A script under the limits of a real run."""

    def __init__(self, container: FakeSandbox, sink: OutputSink, limits: Limits, script: Script) -> None:
        self._container = container
        self._sink = sink
        self._limits = limits
        self._script = script
        self._clock = asyncio.get_running_loop().time
        self._heard = self._clock()
        self._printed = 0

    async def finish(self) -> Exit:
        begun = self._clock()
        end = self._container.running
        assert end is not None
        work = asyncio.create_task(self._work())
        watched: set[asyncio.Future[Any]] = {work, end}
        try:
            while not work.done() and not end.done():
                deadline = begun + self._limits.deadline - self._clock()
                silence = self._heard + self._limits.silence - self._clock()
                if deadline <= 0:
                    raise DeadlinePassed("It ran for too long", limit="deadline", seconds=self._limits.deadline)
                if silence <= 0:
                    raise DeadlinePassed("It was silent for too long", limit="silence", seconds=self._limits.silence)
                await asyncio.wait(watched, timeout=min(deadline, silence), return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                return end.result()
            result = work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if isinstance(result, Exit):
            return result
        return Exit(code=result, out_of_memory=False, seconds=self._clock() - begun)

    async def _work(self) -> int | Exit:
        result = self._script(Step(self._container, self._print))
        return await result if reflection.isawaitable(result) else result

    def _print(self, stream: OutputStream, data: bytes) -> None:
        self._heard = self._clock()
        self._printed += len(data)
        if self._printed > self._limits.output:
            raise OutputTooLarge("It printed too much", limit="output", bytes=self._limits.output)
        self._sink(stream, data)


class _Images:
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    async def inspect(self, reference: str) -> EngineImage | None:
        self._engine.enter("images.inspect", reference)
        image = self._engine.find(reference)
        return None if image is None else _listed(image)

    async def load(self, archive: AsyncGenerator[bytes, None]) -> None:
        self._engine.enter("images.load", "")
        members: Files = {}
        _unpack(await _whole(archive), members)
        try:
            manifest = json.loads(_content(members, "manifest.json"))
            for entry in manifest:
                self._load(members, entry)
        except (KeyError, TypeError, ValueError) as error:
            raise EngineRefused(f"This archive holds no image: {error!r}") from error

    def _load(self, members: Files, entry: dict[str, Any]) -> None:
        raw = _content(members, entry["Config"])
        config = json.loads(raw)
        layers = [_content(members, name) for name in entry["Layers"]]
        if [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers] != config["rootfs"]["diff_ids"]:
            raise EngineRefused("invalid diffID for a layer")
        files: Files = {}
        for layer in layers:
            _unpack(layer, files)
        settings = config.get("config") or {}
        image = FakeImage(
            id=f"sha256:{hashlib.sha256(raw).hexdigest()}",
            files=files,
            labels=dict(settings.get("Labels") or {}),
            environment=dict(pair.split("=", 1) for pair in settings.get("Env") or ()),
            config=config,
        )
        image = self._engine.store(image, None)
        for tag in entry.get("RepoTags") or ():
            self._engine.store(image, tag)

    async def import_root(self, archive: AsyncGenerator[bytes, None], reference: str, changes: tuple[str, ...]) -> str:
        self._engine.enter("images.import_root", reference)
        image = FakeImage(id=self._engine.identify("image"), files={})
        for change in changes:
            instruction, _, rest = change.partition(" ")
            pairs = dict(pair.partition("=")[::2] for pair in shlex.split(rest)) if "=" in rest else {}
            if instruction.upper() == "ENV":
                image.environment |= pairs
            elif instruction.upper() == "LABEL":
                image.labels |= pairs
            elif instruction.upper() not in {"CMD", "ENTRYPOINT", "EXPOSE", "USER", "VOLUME", "WORKDIR", "STOPSIGNAL"}:
                raise EngineRefused(f"{instruction} is not a valid change command")
        _unpack(await _whole(archive), image.files)
        return self._engine.store(image, reference).id

    async def commit(self, sandbox: str, reference: str, labels: Mapping[str, str]) -> str:
        self._engine.enter("images.commit", reference)
        container = self._engine.stopped(sandbox, "committed")
        own = dict.fromkeys(container.spec.labels, "")
        image = FakeImage(
            id=self._engine.identify("image"),
            files=dict(container.files),
            labels={**own, **container.image.labels, **labels},
            environment={**container.image.environment, **container.spec.environment},
        )
        return self._engine.store(image, reference).id

    async def tag(self, image: str, reference: str) -> None:
        self._engine.enter("images.tag", reference)
        found = self._engine.find(image)
        if found is None:
            raise ImageGone(f"No such image: {image}")
        self._engine.store(found, reference)

    async def remove(self, reference: str) -> None:
        self._engine.enter("images.remove", reference)
        image = self._engine.find(reference)
        if image is None:
            return
        by_id = reference.removeprefix("sha256:") == image.id.removeprefix("sha256:")
        if by_id and len(image.tags) > 1:
            raise EngineRefused("The image has several names", status=409)
        if len(image.tags) <= 1 and any(used.image is image for used in self._engine.containers.values()):
            raise EngineRefused("A container uses the image", status=409)
        image.tags = set() if by_id else image.tags - {_full(reference)}
        if not image.tags:
            del self._engine.stored[image.id]


class _Survey:
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    async def info(self) -> EngineInfo:
        self._engine.enter("survey.info", "")
        return self._engine.about

    async def sandboxes(self, labels: Mapping[str, str]) -> tuple[Sandbox, ...]:
        self._engine.enter("survey.sandboxes", "")
        found = (
            Sandbox(id=it.id, name=it.spec.name, state=it.state, labels={**it.image.labels, **it.spec.labels})
            for it in self._engine.containers.values()
        )
        return tuple(sandbox for sandbox in found if labels.items() <= sandbox.labels.items())

    async def sandbox(self, sandbox: str) -> SandboxState | None:
        self._engine.enter("survey.sandbox", sandbox)
        try:
            found = self._engine.container(sandbox)
        except SandboxGone:
            return None
        return SandboxState(
            id=found.id,
            state=found.state,
            image_id=found.image.id,
            generation=found.generation,
            labels={**found.image.labels, **found.spec.labels},
        )

    async def images(self, labels: Mapping[str, str]) -> tuple[EngineImage, ...]:
        self._engine.enter("survey.images", "")
        return tuple(
            replace(_listed(image), environment={})
            for image in self._engine.stored.values()
            if labels.items() <= image.labels.items()
        )

    async def pull(self, reference: str) -> str:
        self._engine.enter("survey.pull", reference)
        image = self._engine.registry.get(_full(reference))
        if image is None:
            raise ImageGone(f"No registry has {reference}")
        return self._engine.store(image, reference).id

    async def close(self) -> None:
        """Give nothing back."""


def _end(container: FakeSandbox, failure: Failure) -> None:
    if container.running is not None and not container.running.done():
        container.running.set_exception(failure)


def _full(reference: str) -> str:
    return ":".join(repository_and_tag(reference))


def _listed(image: FakeImage) -> EngineImage:
    return EngineImage(
        id=image.id,
        tags=tuple(sorted(image.tags)),
        size=sum(len(member.content or b"") for member in image.files.values()),
        labels=dict(image.labels),
        environment=dict(image.environment),
    )


def _below(files: Files, root: str) -> list[str]:
    prefix = root.rstrip("/") + "/"
    return sorted(path for path in files if path == root or path.startswith(prefix))


def _place(files: Files, path: str, member: Member, *, keep: bool = False) -> None:
    path = posixpath.normpath(f"/{path.lstrip('/')}")
    if path == "/":
        return
    parent = posixpath.dirname(path)
    if parent not in files:
        _place(files, parent, Member(path="", mode=0o755, mtime=0))
    if not keep or path not in files:
        files[path] = member


async def _whole(archive: AsyncGenerator[bytes, None]) -> bytes:
    data = b"".join([piece async for piece in plain(archive)])
    end = TarEnd()
    end.feed(data)
    if not end.whole:
        raise EngineRefused("unexpected EOF")
    return data


def _unpack(data: bytes, files: Files) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for info in archive:
                shape: dict[str, Any] = {"mode": info.mode, "mtime": int(info.mtime), "uid": info.uid, "gid": info.gid}
                shape["atime"] = max(int(info.pax_headers.get("atime", 0)), int(info.mtime))  # never before its mtime
                if info.isreg():
                    content = archive.extractfile(info)
                    assert content is not None
                    _place(files, info.name, Member(path="", content=content.read(), **shape))
                elif info.issym():
                    _place(files, info.name, Member(path="", target=info.linkname, **shape))
                elif info.isdir():
                    _place(files, info.name, Member(path="", **shape))
                elif info.islnk():
                    _place(files, info.name, _linked(files, info.linkname))
                else:
                    raise EngineRefused(f"The fake engine takes no {info.name} of type {info.type!r}")
    except tarfile.TarError as error:
        raise EngineRefused(f"This is no tar: {error}") from error


def _linked(files: Files, name: str) -> Member:
    first = files.get(posixpath.normpath(f"/{name.lstrip('/')}"))
    if first is None or first.content is None:
        raise EngineRefused(f"link {name}: no such file")
    return first


def _content(members: Files, name: str) -> bytes:
    content = members[f"/{name}"].content
    if content is None:
        raise KeyError(name)
    return content
