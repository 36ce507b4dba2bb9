"""Law 5 with a real cargo: what a change makes dirty is compiled, nothing else is, and the binary is a clean build's.

Times tell nothing here: every source has one mtime, before and after its change. So each change that cargo cannot see
is also built once without being marked, and has to come out stale: the law, broken.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from daemon.ecosystems.rust.dirtiness import Dirt
from daemon.units.layout import Layout
from tests.caching.village import EVERYONE, SAYS, SOURCES, Built, Village
from tests.fakes.rust_projects import ARTEFACT_TIME, Executable, Files, Link


@dataclass(frozen=True)
class Case:
    """A change, what it makes dirty, and what the program then says."""

    name: str
    change: dict[str, "str | Executable | Link | None"]
    """Files by path; None takes one away."""
    compiled: frozenset[str]
    says: str
    blind: bool = True
    """Whether cargo sees nothing of it by itself: it misses a file that is gone, and reads manifests."""

    def files(self) -> Files:
        kept = {path: content for path, content in SOURCES.items() if path not in self.change}
        return {**kept, **{path: content for path, content in self.change.items() if content is not None}}


def only(*packages: str) -> frozenset[str]:
    return frozenset(packages)


def said(old: str, new: str) -> str:
    assert old in SAYS
    return SAYS.replace(old, new, 1)


def replaced(path: str, old: str, new: str) -> str:
    text = SOURCES[path]
    assert isinstance(text, str)
    assert old in text
    return text.replace(old, new)


_MAIN = "app/src/main.rs"
_NOT_GONE = replaced("words/src/lib.rs", "mod gone;", 'mod gone { pub const WORD: &str = "here"; }')
_MORE = replaced("words/src/lib.rs", "mod gone;", "mod gone { pub use crate::more::WORD; }\nmod more;")
CASES = [
    Case("a source of the binary", {_MAIN: replaced(_MAIN, '"{} {} {}", env', '"{} {}/{}", env')}, only("app"),
         said("1 nothing", "1/nothing")),
    Case("a source of a library", {"words/src/gone.rs": 'pub const WORD: &str = "back";\n'}, only("words", "app"),
         said("gone", "back")),
    Case("a source of a nested member", {"words/inner/src/lib.rs": "pub fn note() -> &'static str { \"in\" }\n"},
         only("inner", "app"), said("note", "in")),
    Case("a source of a procedural macro",
         {"macros/src/lib.rs": replaced("macros/src/lib.rs", "unwrap())", 'unwrap() + "!")')},
         only("macros", "app"), said("opened", "opened!")),
    Case("a file of one member that another includes", {"words/a text.txt": "line"}, only("words", "app"),
         said("text", "line")),
    Case("a file of no member that one includes", {"shared/note.txt": "memo"}, only("inner", "app"),
         said("note", "memo")),
    Case("a file that is included through a link", {"shared/other.txt": "else"}, only("app"), said("other", "else")),
    Case("a link that leads elsewhere", {"app/link": Link("../elsewhere"), "elsewhere/other.txt": "far"}, EVERYONE,
         said("other", "far")),
    Case("a file that a procedural macro opened", {"opened.txt": "closed"}, EVERYONE, said("opened", "closed")),
    Case("a file that a silent build script read", {"words/side.txt": "edge"}, EVERYONE, said("side", "edge")),
    Case("a file that a build script names", {"proto/api.txt": "v2"}, only("app"), said("api", "v2")),
    Case("a file that a silent build script found absent", {"words/extra": ""}, EVERYONE,
         said("0 false", "0 true")),
    Case("a file more in a directory that a build script names", {"migrations/2.sql": "two"}, EVERYONE,
         said("api 1", "api 2")),
    Case("a build script", {"words/build.rs": replaced("words/build.rs", "SIDE={}", "SIDE=<{}>")},
         only("words", "app"), said("side", "<side>")),
    Case("a build script that goes away", {
        "words/build.rs": None,
        "words/src/lib.rs": 'pub fn text() -> &\'static str { "no script" }\n',
    }, only("words", "app"), said("gone side 0 false", "no script"), blind=False),
    Case("a build script that comes", {
        "words/inner/build.rs": 'fn main() { println!("cargo:rustc-env=GROWN=tall"); }\n',
        "words/inner/src/lib.rs": 'pub fn note() -> &\'static str { option_env!("GROWN").unwrap_or("small") }\n',
    }, EVERYONE, said("note", "tall"), blind=False),
    Case("the executable bit", {"words/tool.sh": Executable("#!/bin/sh\n")}, EVERYONE, said("0 false", "73 false")),
    Case("a module that is taken out of its file", {"words/src/gone.rs": None, "words/src/lib.rs": _NOT_GONE},
         only("words", "app"), said("gone", "here"), blind=False),
    Case("a module more", {"words/src/more.rs": 'pub const WORD: &str = "more";\n', "words/src/lib.rs": _MORE,
                           "words/src/gone.rs": None}, EVERYONE, said("gone", "more"), blind=False),
    Case("a module that moves from a file to a directory", {
        "words/src/gone.rs": None,
        "words/src/gone/mod.rs": 'pub const WORD: &str = "moved";\n',
    }, EVERYONE, said("gone", "moved"), blind=False),
    Case("a file that becomes a directory", {
        "words/a text.txt": None, "words/a text.txt/inside": "inside",
        _MAIN: replaced(_MAIN, "a text.txt", "a text.txt/inside"),
    }, EVERYONE, said("text", "inside")),
    Case("a directory that becomes a file", {
        "shared/note.txt": None, "shared/other.txt": None, "shared": "shared", "app/link": None,
        "words/inner/src/lib.rs": replaced("words/inner/src/lib.rs", "/note.txt", ""),
        _MAIN: replaced(_MAIN, 'include_str!("../link/other.txt")', '"nothing"'),
    }, EVERYONE, SAYS.replace("note", "shared").replace("other", "nothing", 1), blind=False),
    Case("two files that change places", {"words/side.txt": "text", "words/a text.txt": "side"}, EVERYONE,
         said("gone side 0 false note text", "gone text 0 false note side")),
    Case("a manifest", {"app/Cargo.toml": replaced("app/Cargo.toml", "0.1.0", "0.2.0"),
                        "Cargo.lock": replaced("Cargo.lock", 'name = "app"\nversion = "0.1.0"',
                                               'name = "app"\nversion = "0.2.0"')},
         EVERYONE, said("0.1.0", "0.2.0"), blind=False),
    Case("a file that nobody reads", {"README.md": "other words\n"}, EVERYONE, SAYS, blind=False),
]  # fmt: skip
BLIND = [case for case in CASES if case.blind]
BOTH = (
    "a source of a library",
    "a file of one member that another includes",
    "a file that a procedural macro opened",
    "a file that a build script names",
    "a build script",
)
"""What is tried in both layouts: one of each way in which a unit becomes dirty."""
IN_EACH = [(Layout.V1, case) for case in CASES] + [(Layout.V2, case) for case in CASES if case.name in BOTH]


@dataclass(frozen=True)
class Start:
    """A workspace in which everything was compiled once."""

    village: Village
    built: Built


@dataclass(frozen=True)
class Template:
    """Where every test's workspace is, and a copy of it as it was at first."""

    root: Path
    kept: Path
    blobs: BlobStore
    built: Built
    layout: Layout


@pytest.fixture(scope="module")
def layout(request: pytest.FixtureRequest) -> Layout:
    return getattr(request, "param", Layout.V1)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, layout: Layout) -> Template:
    root, kept = tmp_path_factory.mktemp("village"), tmp_path_factory.mktemp("kept")
    blobs = BlobStore(tmp_path_factory.mktemp("blobs"))
    village = Village(root, blobs, layout)
    built = village.first(SOURCES)
    assert (built.code, built.compiled, village.runs()) == (0, EVERYONE, SAYS)
    for place in ("work", "target"):
        _copy(root / place, kept / place)
    return Template(root, kept, blobs, built, layout)


@pytest.fixture
def start(template: Template) -> Start:
    for place in ("work", "target"):
        shutil.rmtree(template.root / place)
        _copy(template.kept / place, template.root / place)
    return Start(Village(template.root, template.blobs, template.layout), template.built)


def _copy(source: Path, target: Path) -> None:
    """Artefacts are hard links of each other, which is no matter here; times and links are."""
    shutil.copytree(source, target, symlinks=True)
    shutil.copystat(source, target)


@pytest.mark.parametrize(
    ("layout", "case"), IN_EACH, indirect=["layout"], ids=lambda value: getattr(value, "name", value)
)
def test_what_a_change_makes_dirty_is_compiled_and_nothing_else(case: Case, start: Start) -> None:
    dirt, built = start.village.again(SOURCES, case.files(), start.built.ledger)

    assert built.code == 0
    assert built.compiled == case.compiled == dirt.compiled
    assert start.village.runs() == case.says
    assert start.village.program() == start.village.clean(case.files())
    assert built.ledger.written == ()


@pytest.mark.parametrize("case", BLIND, ids=lambda case: case.name)
def test_a_change_that_is_not_marked_ships_a_stale_binary(case: Case, start: Start) -> None:
    dirt = start.village.dirt(SOURCES, case.files(), start.built.ledger)

    start.village.change(case.files(), dirt, Dirt())

    assert start.village.runs() != case.says


_FLAGGED = replaced(
    "app/build.rs",
    "fn main() {",
    'fn main() {\n    println!("cargo:rerun-if-changed=../flag");\n'
    '    println!("cargo:rustc-env=SAID={}", std::path::Path::new("../flag").exists());',
)


def test_a_file_that_a_build_script_names_and_found_absent_comes_and_goes(start: Start) -> None:
    absent = {**SOURCES, "app/build.rs": _FLAGGED}
    there = {**absent, "flag": ""}

    _, first = start.village.again(SOURCES, absent, start.built.ledger)
    said_without = start.village.runs()
    dirt, second = start.village.again(absent, there, first.ledger)
    said_with = start.village.runs()
    gone, third = start.village.again(there, absent, second.ledger)

    assert (said_without, said_with) == (said("nothing", "false"), said("nothing", "true"))
    assert start.village.runs() == said_without
    assert second.compiled == third.compiled == set(dirt.packages) == set(gone.packages) == {"app"}


@pytest.mark.parametrize("layout", Layout, indirect=True)
def test_nothing_is_compiled_where_nothing_has_changed(start: Start) -> None:
    dirt, built = start.village.again(SOURCES, SOURCES, start.built.ledger)

    assert (dirt, built.compiled) == (Dirt(), frozenset())
    assert start.village.runs() == SAYS


def test_a_change_and_its_revert_lead_back_to_the_same_bytes(start: Start) -> None:
    first, changed = start.village.program(), {**SOURCES, "words/side.txt": "edge"}

    _, there = start.village.again(SOURCES, changed, start.built.ledger)
    between = start.village.runs()
    _, back = start.village.again(changed, SOURCES, there.ledger)

    assert between == said("side", "edge")
    assert start.village.program() == first
    assert there.compiled == back.compiled == EVERYONE
    assert start.village.again(SOURCES, SOURCES, back.ledger)[1].compiled == frozenset()


def test_a_deleted_module_that_is_still_wanted_fails_as_in_a_clean_build(start: Start) -> None:
    broken = Case("", {"words/src/gone.rs": None}, only("words"), "").files()

    dirt, failed = start.village.again(SOURCES, broken, start.built.ledger)
    _, mended = start.village.again(broken, SOURCES, failed.ledger)

    assert (failed.code, dirt.packages, dirt.dependents) == (101, ("words",), ("app",))
    assert (mended.code, start.village.runs()) == (0, SAYS)


def test_a_renamed_binary_is_the_new_one_alone_in_cargo_s_messages(start: Start) -> None:
    renamed = Case(
        "", {"app/src/bin/old.rs": None, "app/src/bin/new.rs": SOURCES["app/src/bin/old.rs"]}, EVERYONE, SAYS
    ).files()

    _, built = start.village.again(SOURCES, renamed, start.built.ledger)

    assert (built.compiled, sorted(built.executables)) == (EVERYONE, ["app", "new"])


def test_artefacts_have_one_time_after_each_step_also_one_that_fails(start: Start) -> None:
    broken = {**SOURCES, "app/src/main.rs": "fn main() { nothing_of_that_name }\n"}

    _, failed = start.village.again(SOURCES, broken, start.built.ledger)

    assert failed.code == 101
    assert max(start.village.times()) == ARTEFACT_TIME * 10**9


ONE_ONLY = "cargo build --release -p words --locked --offline --message-format=json-diagnostic-rendered-ansi"


def test_what_a_step_did_not_plan_is_compiled_by_the_next(start: Start) -> None:
    """The step compiles the library and not what stands on it."""
    changed = {**SOURCES, "words/src/gone.rs": 'pub const WORD: &str = "back";\n'}

    dirt, partial = start.village.again(SOURCES, changed, start.built.ledger, ONE_ONLY)
    _, late = start.village.again(changed, changed, partial.ledger)

    assert (dirt.packages, dirt.dependents) == (("words",), ("app",))
    assert (partial.compiled, late.compiled) == ({"words"}, {"app"})
    assert start.village.runs() == said("gone", "back")


def test_what_a_step_did_not_plan_is_hidden_by_its_time_if_it_is_not_marked_with_its_dependency(start: Start) -> None:
    changed = {**SOURCES, "words/src/gone.rs": 'pub const WORD: &str = "back";\n'}
    dirt = start.village.dirt(SOURCES, changed, start.built.ledger)

    start.village.change(changed, dirt, Dirt(packages=dirt.packages), ONE_ONLY)
    late = start.village.build(changed, Dirt())

    assert (late.compiled, start.village.runs()) == (frozenset(), SAYS)


_WRITES = replaced(
    "words/build.rs",
    "fn main() {",
    'fn main() {\n    let had = fs::read_to_string("made.txt").unwrap_or_default();\n'
    '    fs::write("made.txt", had.clone() + "x").unwrap();\n    fs::write("side.txt", had + "side").unwrap();\n'
    '    let _ = fs::create_dir("dir");',
)


def test_what_a_build_writes_into_the_sources_is_taken_out_and_its_readers_are_dirty(start: Start) -> None:
    writing = {**SOURCES, "words/build.rs": _WRITES}

    _, first = start.village.again(SOURCES, writing, start.built.ledger)
    dirt, second = start.village.again(writing, writing, first.ledger)

    assert first.ledger.written == ("words/dir/", "words/made.txt", "words/side.txt")
    assert dirt.remove == ("words/dir", "words/made.txt", "words/side.txt")
    assert [entry.path for entry in dirt.put] == ["words/side.txt"]
    assert second.compiled == EVERYONE
    assert start.village.program() == start.village.clean(writing)


def test_a_member_that_moves_makes_everything_dirty(start: Start) -> None:
    moved = {path.replace("island/", "isle/"): content for path, content in SOURCES.items()}
    moved["Cargo.toml"] = replaced("Cargo.toml", '"island"', '"isle"')

    dirt, built = start.village.again(SOURCES, moved, start.built.ledger)

    assert dirt.everything
    assert (built.code, built.compiled) == (0, EVERYONE)


def test_cargo_itself_compares_the_variables_that_a_unit_read(start: Start) -> None:
    """So dep-info's `env-dep` lines need no reader here."""
    start.village.says("SAID", "something")

    built = start.village.build(SOURCES, Dirt())

    assert (built.compiled, start.village.runs()) == ({"app"}, said("nothing", "something"))


@pytest.mark.parametrize("layout", Layout, indirect=True)
def test_units_below_a_target_triple_are_marked_too(start: Start) -> None:
    triple = "x86_64-unknown-linux-gnu"
    command = f"cargo build --release --workspace --target {triple} --locked --offline --message-format=json"
    changed = {**SOURCES, "words/side.txt": "edge"}

    _, first = start.village.again(SOURCES, SOURCES, start.built.ledger, command)
    before = start.village.runs(triple)
    _, second = start.village.again(SOURCES, changed, first.ledger, command)

    assert second.compiled == EVERYONE
    assert (before, start.village.runs(triple)) == (SAYS, said("side", "edge"))
