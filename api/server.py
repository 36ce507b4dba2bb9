"""The daemon's process: opens what it needs, serves until a signal says to end, and ends in an orderly way.

The composition root, with `api.composition`: here alone the environment is read, and here alone things are opened and
closed. The order of the end: not ready, no new builds, running ones drain, followers leave, connections close, the
store closes.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from aiohttp import web

from api.composition.means import Means
from api.composition.root import Daemon, compose
from api.http.connections import Runner
from api.http.readiness import Lifecycle
from api.logs import configure
from api.state_dir import StateDir
from api.version import own_version
from cache.errors import Blame, Failure
from cache.store import Store
from daemon.config import Config
from daemon.config_file import ConfigError
from daemon.engine.docker import DockerEngine
from daemon.engine.isolation import isolation
from daemon.image.architecture import AMD64
from daemon.image.usual_libraries import take_usual_libraries
from daemon.network import NetworkSettings, resolve_network
from daemon.registry.login import Credentials
from daemon.registry.registries import Registries
from daemon.toolchains.kept import KeptFacts

_LINGER_SECONDS = 5.0
_HIGHEST_PORT = 65535

Signals = asyncio.Queue[signal.Signals]


class CannotListen(Failure):
    """The address to listen on is taken, or not this host's."""

    kind = "cannot_listen"
    title = "The daemon cannot listen where it should"
    blame = Blame.INFRASTRUCTURE


async def serve(config: Config, environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly end.

    Raises `ConfigError` for settings that cannot be used, `CannotListen`, and what `Store.open` raises. An engine that
    does not answer is no reason not to start: `/readyz` says so until it does.
    """
    configure(config.log.format, config.log.level)
    log = structlog.get_logger("bloomery.server")
    host, port = listen_address(config.server.listen)
    network = resolve_network(config.network, environ)
    ca_bundle, tokens = _ca_bundle(network), _tokens(config.server.tokens)
    state_dir = StateDir.of(config)
    async with AsyncExitStack() as opened:
        store = await Store.open(state_dir.path)
        opened.push_async_callback(store.close)
        state_dir.clear_scratch()
        engine = await _engine(config, environ)
        opened.push_async_callback(engine.close)
        registries = await opened.enter_async_context(_registries(config, network))
        log.info("starting", version=own_version(), state_dir=str(state_dir.path), engine=engine.url)
        log.info("network of the fetch step", **network.described())
        means = Means(
            config=config,
            network=network,
            ca_bundle=ca_bundle,
            tokens=tokens,
            store=store,
            engine=engine,
            registries=registries,
            kept_facts=KeptFacts.of_user(environ),
        )
        daemon = compose(means)
        opened.push_async_callback(daemon.toolchains.close)
        opened.push_async_callback(daemon.events.close)
        async with _signals() as signals, _listening(daemon, host, port) as url:
            await _work(daemon, means, url, signals)
    log.info("ended")
    return 0


async def _work(daemon: Daemon, means: Means, url: str, signals: Signals) -> None:
    """From the first build to the last; the API answers before and after."""
    log = structlog.get_logger("bloomery.server")
    address = means.state_dir.address
    # neither a report nor a removal keeps a start waiting for an engine
    beside = {
        asyncio.create_task(_greet(daemon, means)),
        asyncio.create_task(daemon.cache_size.run()),
        asyncio.create_task(daemon.behind.run()),
        asyncio.create_task(daemon.verifier.run()),
        asyncio.create_task(daemon.maintenance.run()),
    }
    try:
        await daemon.scheduler.start()
        daemon.readiness.lifecycle = Lifecycle.SERVING
        await asyncio.to_thread(_write, address, url)
        log.info(f"listening on {url}")  # noqa: G004 - one phrase, for people and scripts that wait for it
        received = await signals.get()
    finally:
        daemon.readiness.lifecycle = Lifecycle.LEAVING
        address.unlink(missing_ok=True)
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
    seconds = means.config.server.drain
    log.info("draining", signal=received.name, seconds=seconds)
    await _drain(daemon, seconds, signals)
    daemon.closing.set()


async def _drain(daemon: Daemon, seconds: float, signals: Signals) -> None:
    """Let running builds go on for a while; another signal ends the patience."""
    draining = asyncio.create_task(daemon.scheduler.drain(seconds))
    again = asyncio.create_task(signals.get())
    await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if not draining.done():
        await daemon.scheduler.drain(0)
    await draining


async def _greet(daemon: Daemon, means: Means) -> None:
    """Say what the engine offers, remove what an earlier daemon left in it, and probe toolchains that are new."""
    log = structlog.get_logger("bloomery.server")
    try:
        found = isolation(await means.engine.survey.info(), means.config.engine.runtime or None)
        for line in found.lines:
            log.info("isolation", fact=line)
        for warning in found.warnings:
            log.warning("isolation", warning=warning)
        await daemon.runner.recover()
        offered = await daemon.toolchains.offered()
        log.info("toolchains", offered={toolchain.name: toolchain.facts.release for toolchain in offered})
        for toolchain in offered:
            await take_usual_libraries(daemon.libraries, toolchain.facts.image_id, AMD64)
    except Failure as failure:
        log.warning("the engine cannot be asked yet", kind=failure.kind, detail=failure.detail)


@asynccontextmanager
async def _signals() -> AsyncIterator[Signals]:
    """The signals that ask for the end, as they come."""
    received: Signals = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, received.put_nowait, each)
    try:
        yield received
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)


@asynccontextmanager
async def _listening(daemon: Daemon, host: str, port: int) -> AsyncIterator[str]:
    """The API on its socket; yields its URL. At the end connections have a moment to finish what they say."""
    runner = Runner(daemon.app, _LINGER_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise CannotListen(
                f"{host}:{port}: {error.strerror or error}; end what listens there, or choose another with --listen",
                address=f"{host}:{port}",
            ) from error
        yield f"http://{f'[{host}]' if ':' in host else host}:{site.port}"
    finally:
        await runner.cleanup()


async def _engine(config: Config, environ: Mapping[str, str]) -> DockerEngine:
    url = config.engine.url or environ.get("DOCKER_HOST") or None
    try:
        return await DockerEngine.connect(url, config.engine.timeouts())
    except ValueError as error:
        source = "engine.url" if config.engine.url else "DOCKER_HOST"
        raise _refused(source, str(url), f"unix:///PATH, or tcp://HOST:PORT on this machine: {error}") from error


def listen_address(text: str) -> tuple[str, int]:
    """`HOST:PORT` with an IPv6 address in brackets; port 0 is any that is free."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed) or not (port.isascii() and port.isdigit()):
        raise _refused("server.listen", text, "HOST:PORT, such as 127.0.0.1:7878 or [::1]:7878")
    if int(port) > _HIGHEST_PORT:
        raise _refused("server.listen", text, f"a port of at most {_HIGHEST_PORT}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _tokens(files: Mapping[str, str]) -> dict[str, str]:
    """The scope of each configured token; none: everyone may call."""
    scopes: dict[str, str] = {}
    for scope, file in files.items():
        key = f"server.tokens.{scope}"
        token = _content(key, Path(file)).decode("utf-8", "replace").strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise _refused(key, file, "a file that holds one token: printable ASCII without blanks")
        if token in scopes:
            raise _refused(key, file, f"a token of its own; {scopes[token]} has the same")
        scopes[token] = scope
    return scopes


def _registries(config: Config, network: NetworkSettings) -> Registries:
    """What images are pushed to: trusted as the fetch step's hosts are."""
    credentials = {}
    for host, file in config.publish.credentials.items():
        key = f"publish.credentials.{host}"
        user, colon, password = _content(key, Path(file)).decode("utf-8", "replace").strip().partition(":")
        if not user or not colon or not password:
            raise _refused(key, file, "a file that holds USER:PASSWORD on one line")
        credentials[host] = Credentials(user=user, password=password)
    return Registries(credentials=credentials, plain=config.publish.plain_http, ca_bundle=network.ca_bundle)


def _ca_bundle(network: NetworkSettings) -> bytes:
    return b"" if network.ca_bundle is None else _content("network.ca_bundle", network.ca_bundle)


def _content(key: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _refused(key, str(file), f"a file that can be read: {error.strerror}") from error


def _refused(key: str, value: str, expected: str) -> ConfigError:
    return ConfigError(f"{key} = {value!r}: expected {expected}", key=key, value=value, expected=expected)


def _write(file: Path, text: str) -> None:
    """Whole or not at all: others wait for this file."""
    half = file.with_suffix(".part")
    half.write_text(f"{text}\n")
    half.replace(file)
