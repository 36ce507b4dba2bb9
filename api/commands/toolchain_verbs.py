"""What `bloomery toolchain` does: composed here from the engine adapter and `daemon.toolchains`."""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from uv import find_uv_bin

from api.client.console import Console
from api.client.exits import Exit
from daemon.config import Config
from daemon.config_file import read_config
from daemon.ecosystems.rust.canary import Canary, LayoutFound
from daemon.engine.docker import DockerEngine
from daemon.engine.engine import EngineImage
from daemon.errors import NoToolchain
from daemon.network import resolve_network
from daemon.toolchains import labels, offers, rustup
from daemon.toolchains.check import check
from daemon.toolchains.debian import Cached
from daemon.toolchains.errors import BadToolchain, NoUv
from daemon.toolchains.kept import KeptFacts, user_cache
from daemon.toolchains.make import Recipe, WayOut, make_from_image, make_from_rustup
from daemon.toolchains.toolchain import Toolchain, ToolchainFacts
from daemon.toolchains.trials import tried


class _Python(TypedDict):
    version: str
    uv: str


class _Row(TypedDict):
    name: str
    release: str
    python: _Python | None
    reference: str
    image_id: str
    size: int
    packages: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    engine: DockerEngine
    config: Config
    facts: KeptFacts
    cache: Path
    environ: Mapping[str, str]
    console: Console


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Do what was parsed; returns the exit code, and raises `Failure`s for `api.cli` to put into words."""
    console = Console.of_process()
    try:
        return asyncio.run(_run(args, environ, console))
    except ValueError as error:  # the engine's URL is none
        console.error(str(error))
        return Exit.USAGE


async def _run(args: argparse.Namespace, environ: Mapping[str, str], console: Console) -> int:
    config = read_config(Path(args.config)) if args.config else Config()
    url = args.engine or config.engine.url or environ.get("DOCKER_HOST")
    async with await DockerEngine.connect(url or None, config.engine.timeouts()) as engine:
        session = _Session(
            engine=engine,
            config=config,
            facts=KeptFacts.of_user(environ),
            cache=user_cache(environ),
            environ=environ,
            console=console,
        )
        match args.verb:
            case "make":
                return await _make(args, session)
            case "ls":
                return await _ls(args, session)
            case _:
                return await _check(args, session)


async def _make(args: argparse.Namespace, session: _Session) -> int:
    started = time.monotonic()
    engine, console, uv = session.engine, session.console, _uv()
    recipe = Recipe(
        name=args.name,
        reference=args.tag or session.config.toolchains.images.get(args.name) or f"bloomery/toolchain:{args.name}",
        packages=tuple(sorted(set(args.packages))),
    )
    if args.from_image:
        await make_from_image(
            engine.sandboxes, engine.images, engine.survey, recipe, args.from_image,
            uv=uv, way_out=_way_out(session), progress=lambda line: console.say("Toolchain", line),
        )  # fmt: skip
    else:
        home = session.environ.get("RUSTUP_HOME") or Path(session.environ.get("HOME") or "/") / ".rustup"
        await make_from_rustup(
            engine.images, recipe, rustup.find(Path(home), args.from_rustup or args.name), session.cache,
            uv=uv, environment=session.environ, cached=Cached.REMAKE if args.refresh else Cached.USE,
            progress=lambda line: console.say("Toolchain", line),
        )  # fmt: skip
    image = await engine.images.inspect(recipe.reference)
    assert image is not None, "it was made just now"
    try:
        facts = await offers.known(image, recipe.reference, engine.images, engine.sandboxes, session.facts)
        console.say("Toolchain", "trying how its cargo lays out what it compiles")
        facts, found = await tried(facts, Canary(engine.sandboxes).find, session.facts)
    except BadToolchain:
        await engine.images.remove(recipe.reference)
        raise
    seconds = time.monotonic() - started
    made = Toolchain(name=recipe.name, image_reference=recipe.reference, facts=facts)
    if found.layout is None:
        console.say("Toolchain", _layout(found))
    if facts.python is None:
        console.say("Toolchain", _python(facts))
    console.say("Finished", f"{recipe.reference}, {facts.release}, {_size(image.size)} in {seconds:.1f} s")
    console.result(json.dumps(_row(made, image)) if args.json else recipe.reference)
    return Exit.DONE


async def _offered(session: _Session) -> tuple[Toolchain, ...]:
    engine = session.engine
    await engine.survey.info()
    return await offers.offers(
        session.config.toolchains.images, engine.survey, engine.images, engine.sandboxes, session.facts
    )


async def _ls(args: argparse.Namespace, session: _Session) -> int:
    rows = []
    for toolchain in await _offered(session):
        image = await session.engine.images.inspect(toolchain.image_reference)
        if image is not None:
            rows.append(_row(toolchain, image))
    if args.json:
        session.console.result(json.dumps(rows, indent=2))
        return Exit.DONE
    table = [("NAME", "RELEASE", "PYTHON", "UV", "IMAGE", "SIZE", "PACKAGES", "REFERENCE")]
    for row in rows:
        identity = row["image_id"].removeprefix("sha256:")[:12]
        added = " ".join(row["packages"]) or "-"
        python = (row["python"]["version"], row["python"]["uv"]) if row["python"] else ("-", "-")
        table.append((row["name"], row["release"], *python, identity, _size(row["size"]), added, row["reference"]))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        session.console.result("  ".join(padded).rstrip())
    return Exit.DONE


async def _check(args: argparse.Namespace, session: _Session) -> int:
    offered = await _offered(session)
    if not offered:
        raise NoToolchain("make one with `bloomery toolchain make stable`")
    results, code = [], Exit.DONE
    for toolchain in offered:
        try:
            trial = await check(session.engine.sandboxes, toolchain)
            facts, found = await tried(toolchain.facts, Canary(session.engine.sandboxes).find, session.facts)
        except BadToolchain as failure:
            code = Exit.INFRASTRUCTURE
            results.append({"name": toolchain.name, "works": False, "detail": failure.detail})
            line = f"{toolchain.name}: FAILED: {failure.detail}"
        else:
            against = {str(layout): why for layout, why in found.against.items()}
            result = {"name": toolchain.name, "works": True, "seconds": round(trial.seconds, 2)}
            python = {"python": _versions(facts), "python_lacks": facts.python_lacks}
            results.append({**result, "layout": facts.layout, "against": against, **python})
            line = (
                f"{toolchain.name}: works ({facts.release}, {trial.seconds:.1f} s), {_layout(found)}, {_python(facts)}"
            )
        if not args.json:
            session.console.result(line)
    if args.json:
        session.console.result(json.dumps(results, indent=2))
    return code


def _row(toolchain: Toolchain, image: EngineImage) -> _Row:
    return _Row(
        name=toolchain.name,
        release=toolchain.facts.release,
        python=_versions(toolchain.facts),
        reference=toolchain.image_reference,
        image_id=image.id,
        size=image.size,
        packages=image.labels.get(labels.PACKAGES, "").split(),
    )


def _layout(found: LayoutFound) -> str:
    if found.layout is not None:
        return f"layout {found.layout}"
    against = "".join(f"; {layout}: {why}" for layout, why in found.against.items())
    return f"no layout that is known: it works from layers alone, without units and workspaces{against}"


def _versions(facts: ToolchainFacts) -> _Python | None:
    return None if facts.python is None else _Python(version=facts.python.version, uv=facts.python.uv)


def _python(facts: ToolchainFacts) -> str:
    if facts.python is not None:
        return f"Python {facts.python.version}, uv {facts.python.uv}"
    return f"no Python projects: it lacks {', '.join(facts.python_lacks)}"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 10**9 else f"{count / 1e6:.0f} MB"


def _uv() -> Path:
    try:
        return Path(find_uv_bin())
    except FileNotFoundError as absent:
        raise NoUv(
            "toolchain images hold the program uv, and it is not where Bloomery is installed: install Bloomery with "
            f"all of its requirements ({' '.join(str(absent).split())})"
        ) from absent


def _way_out(session: _Session) -> WayOut:
    network = resolve_network(session.config.network, session.environ)
    return WayOut(
        network=network.mode,
        proxies=network.environment,
        ca_bundle=network.ca_bundle.read_bytes() if network.ca_bundle else b"",
    )
