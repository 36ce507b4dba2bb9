"""What the documents say is so, and what there is, is in them: commands, settings, metrics, endpoints, links."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from api.cli import VERBS, _parsed
from api.client.exits import Exit
from api.http.bodies import BodyLimits
from api.http.endpoint import Endpoint
from cache.archive_limits import ArchiveLimits
from cache.blobs import BlobStore
from cache.manifests import settings
from daemon.config import Config
from daemon.config_file import parse_config
from daemon.metrics import Metrics
from tests.docs.pages import ROOT, Page, page, pages, tracked
from tests.fakes.api import Daemon
from tests.fakes.source_files import InMemoryFiles

PAGES = pages()
TABLES = {
    "project": settings.Project,
    "build": settings.BuildSettings,
    "python": settings.PythonSettings,
    "image": settings.ImageTable,
    "check": settings.CheckSettings,
}


def named(of: Page) -> str:
    return of.name


def section(of: Page, heading: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    after = of.text.partition(f"\n{heading}\n")[2]
    assert after, f"{of.name} has no {heading}"
    return re.split(rf"^#{{1,{len(level)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def cells(text: str) -> dict[str, list[str]]:
    """The rows of a section's tables whose first cell is code, by it."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    return {first.strip("`"): rest for first, *rest in rows}


# --- links


@pytest.mark.parametrize("shown", PAGES, ids=named)
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(shown: Page):
    for link in shown.links:
        if urlsplit(link).scheme:
            continue
        path, _, fragment = link.partition("#")
        target = (shown.path.parent / path).resolve() if path else shown.path
        assert target.exists(), link
        if fragment:
            assert fragment in page(str(target.relative_to(ROOT))).anchors, link


# --- the command line


def parsed(words: list[str]) -> None:
    """Hand words to the real parser, which must take them. What is in capitals stands for something."""
    if words[0] in {"--help", "--version", "help"}:
        return
    verbs = list(VERBS) if words[0] == "VERB" else [words[0]]
    options = [word.strip("[]").lower() if word.strip("[]…").isupper() else word for word in words[1:]]
    for verb in verbs:
        assert verb in VERBS, words
        module = __import__(f"api.commands.{verb}", fromlist=[verb])
        try:
            _parsed(verb, module, options, 80)
        except SystemExit as left:
            if left.code:
                pytest.fail(f"bloomery {shlex.join(words)}")


def alternatives(words: list[str]) -> Iterator[list[str]]:
    """`make|ls|check` is three commands, each with what follows left out."""
    at = next((at for at, word in enumerate(words) if "|" in word), None)
    if at is None:
        yield words
        return
    for choice in words[at].split("|"):
        yield [*words[:at], choice, *(["stable"] if choice == "make" else []), *words[at + 1 :]]


@pytest.mark.parametrize("shown", PAGES, ids=named)
def test_every_command_that_is_shown_is_one_that_the_parser_takes(shown: Page):
    for words in shown.commands:
        for each in alternatives(words):
            parsed(each)


def test_a_command_that_does_not_exist_would_be_found():
    wrong = Page(ROOT / "README.md", "Run `bloomery build --nope`.\n")
    with pytest.raises(pytest.fail.Exception, match="--nope"):
        test_every_command_that_is_shown_is_one_that_the_parser_takes(wrong)


def test_every_verb_exit_code_and_variable_is_on_the_page_of_the_command_line():
    cli = page("docs/cli.md")
    assert {words[0] for words in cli.commands} >= set(VERBS)
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section(cli, "## Exit codes"), re.MULTILINE)} == set(Exit)
    text = "".join(path.read_text() for path in tracked("api/*.py", "daemon/*.py"))
    documented = "".join(each.text for each in PAGES if each.name in {"docs/cli.md", "docs/building.md"})
    for variable in set(re.findall(r"\bBLOOMERY_[A-Z_]+\b", text)):
        assert f"`{variable}`" in documented, variable


# --- settings


def settings_of_the_daemon() -> dict[str, set[str]]:
    tables = get_type_hints(Config)
    return {member.name: {each.name for each in fields(tables[member.name])} for member in fields(Config)}


def keys_of_projects() -> dict[str, set[str]]:
    return {name: {each.encode_name for each in msgspec.structs.fields(kind)} for name, kind in TABLES.items()}


@pytest.mark.parametrize("shown", PAGES, ids=named)
def test_every_setting_that_is_named_exists(shown: Page):
    known = settings_of_the_daemon() | keys_of_projects()
    for table, key in re.findall(r"`\[(\w+)\] ([a-z_-]+)(?: = [^`]*)?`", shown.prose):
        assert key in known.get(table, ()), f"[{table}] {key}"
    for table, key in re.findall(r"`\[(\w+)\.([a-z_-]+)\]`", shown.prose):
        assert key in known.get(table, ()), f"[{table}.{key}]"


@pytest.mark.parametrize("shown", PAGES, ids=named)
def test_every_file_of_settings_that_is_shown_is_read_without_complaint(shown: Page):
    for fence in shown.fences:
        if fence.language == "toml":
            name = fence.text.partition("\n")[0].removeprefix("# ")
            if name == "bloomery.toml":
                settings.read_settings(InMemoryFiles({name: fence.text}))
            else:
                assert name.endswith("/config.toml"), name
                parse_config(fence.text, name)


@pytest.mark.parametrize("table", TABLES)
def test_every_key_of_bloomery_toml_is_documented_and_no_other(table: str):
    documented = cells(section(page("docs/building.md"), f"### [{table}]"))
    sets = {"ca", "tzdata", "gconv", "openssl-legacy"}
    assert set(documented) - sets == keys_of_projects()[table]


@pytest.mark.parametrize("table", TABLES)
def test_every_example_of_a_key_is_right_and_not_the_default(table: str):
    for key, rest in cells(section(page("docs/building.md"), f"### [{table}]")).items():
        if key in keys_of_projects()[table]:
            text = f"[{table}]\n{key} = {rest[1].strip('`')}\n"
            read = settings.read_settings(InMemoryFiles({"bloomery.toml": text}))
            assert read != settings.ProjectSettings(), text
            assert tomllib.loads(text)[table].keys() == {key}


# --- metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Metrics(registry)
    return registry


def labels(registry: CollectorRegistry) -> dict[str, tuple[str, ...]]:
    """Each metric's labels."""
    found = {}
    for collector in registry._collector_to_names:
        assert isinstance(collector, MetricWrapperBase)
        (family,) = collector.describe()
        found[family.name + ("_total" if family.type == "counter" else "")] = tuple(collector._labelnames)
    return found


def test_every_metric_is_documented_with_its_labels_and_no_other(registry: CollectorRegistry):
    rows = cells(section(page("docs/operating.md"), "## Metrics"))
    documented = {name: tuple(re.findall(r"`(\w+)`", row[0])) for name, row in rows.items()}
    assert documented == labels(registry)


def test_every_metric_and_label_that_is_named_anywhere_exists(registry: CollectorRegistry):
    known = labels(registry)
    names = {name + suffix for name in known for suffix in ("", "_bucket", "_sum", "_count")}
    for path in [*tracked("*.md"), *tracked("deploy/*.yml")]:
        for name, matchers in re.findall(r"\b(bloomery_[a-z_]+)(?:\{([^}]*)\})?", path.read_text()):
            assert name in names, f"{path}: {name}"
            metric = re.sub(r"_(bucket|sum|count)$", "", name)
            for label in re.findall(r"(\w+)[=!]", matchers):
                assert label in (*known[metric], "le"), f"{path}: {name} {label}"


# --- the API


@pytest.fixture
async def endpoints(tmp_path: Path) -> tuple[Endpoint, ...]:
    daemon = Daemon(tmp_path, BlobStore(tmp_path), BodyLimits(), ArchiveLimits(), tokens={})
    runner = await daemon.start()
    await runner.cleanup()
    return daemon.endpoints


def test_every_endpoint_has_a_heading_and_an_example_and_there_is_no_other(endpoints: tuple[Endpoint, ...]):
    api = page("docs/api.md")
    headings = re.findall(r"^### `([A-Z]+) (\S+)`$", api.text, re.MULTILINE)
    assert sorted(headings) == sorted((each.method, each.path) for each in endpoints)
    for method, path in headings:
        shown = [(m, p) for m, p, _ in calls(section(api, f"### `{method} {path}`"))]
        assert any(fits(path, called) and method == m for m, called in shown), f"{method} {path}: {shown}"


@pytest.mark.parametrize("shown", PAGES, ids=named)
def test_every_call_that_is_shown_is_one_that_the_api_has(shown: Page, endpoints: tuple[Endpoint, ...]):
    for code in shown.code:
        for method, path, query in calls(code):
            found = [each for each in endpoints if each.method == method and fits(each.path, path)]
            assert found, f"{method} {path}"
            known = {each.encode_name for each in msgspec.structs.fields(found[0].query)} if found[0].query else set()
            assert query <= known, f"{method} {path}"


@pytest.mark.parametrize("shown", PAGES, ids=named)
def test_every_endpoint_that_is_named_exists(shown: Page, endpoints: tuple[Endpoint, ...]):
    known = {(each.method, each.path) for each in endpoints}
    for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?]*)`", shown.prose):
        assert (method, path) in known, f"{method} {path}"


def calls(code: str) -> Iterator[tuple[str, str, set[str]]]:
    """The method, path and query names of each curl in a piece of code."""
    for words in re.findall(r"^ *(?:\$ )?curl (.*(?:\n(?!curl|```).*)*)", code.replace("\\\n", " "), re.MULTILINE):
        url = re.search(r"""(?:\$BLOOMERY_URL|http://127\.0\.0\.1:7878)(?:/[^"'\s]*(?:\$\([^)]*\))?)""", words)
        if url is None:
            continue  # somebody else's
        method = "GET"
        for option, then in ((" -X DELETE", "DELETE"), (" -T ", "PUT"), (" --json", "POST"), (" --data", "POST")):
            method = then if option in f" {words}" else method
        parts = urlsplit(url[0].replace("$BLOOMERY_URL", "http://daemon"))
        yield method, parts.path, {name for name, _ in parse_qsl(parts.query)}


def fits(template: str, path: str) -> bool:
    return bool(re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path))
