"""A small cargo workspace on the host, compiled again and again in one target directory, without an engine.

Every file has one mtime and every artefact another, as in a sandbox, so cargo learns of a change only what it is told.
"""

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from cache.blobs import BlobStore
from cache.manifests.rust.workspace import Workspace, read_workspace
from cache.manifests.source import TreeFiles
from cache.tree import EntryKind, SourceTree
from daemon.ecosystems.rust.dependents import edges
from daemon.ecosystems.rust.dirtiness import Dirt, Ledger, dirty, read_ledger, write_ledger
from daemon.ecosystems.rust.inputs import read_inputs, unpacked
from daemon.ecosystems.rust.marks import Marks
from daemon.ecosystems.rust.marks_v1 import MarksV1
from daemon.ecosystems.rust.marks_v2 import MarksV2
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.rust.steps import inputs_lines, naming, stamp_lines, start_lines
from daemon.ecosystems.rust.written import links, read_listing, written
from daemon.ecosystems.step import SOURCE_TIME
from daemon.engine.engine import OutputStream
from daemon.units.layout import Layout
from tests.fakes.layouts import variables
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import ARTEFACT_TIME, Files, Link, crate, lock, locked, tree_of

MARKS: Mapping[Layout, Marks] = {Layout.V1: MarksV1(), Layout.V2: MarksV2()}
EVERYONE = frozenset({"app", "words", "inner", "macros", "island"})
_BUILD = "cargo build --release --workspace --locked --offline --message-format=json-diagnostic-rendered-ansi"

_SCRIPT_WITH_LINES = """\
use std::fs;
fn main() {
    println!("cargo::rerun-if-changed=../proto/api.txt");
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rustc-env=API={}", fs::read_to_string("../proto/api.txt").unwrap());
    println!("cargo:rustc-env=MIGRATIONS={}", fs::read_dir("../migrations").unwrap().count());
}
"""
_SCRIPT_WITHOUT = """\
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
fn main() {
    println!("cargo:rustc-env=SIDE={}", fs::read_to_string("side.txt").unwrap());
    println!("cargo:rustc-env=TOOL={}", fs::metadata("tool.sh").unwrap().permissions().mode() & 0o111);
    println!("cargo:rustc-env=EXTRA={}", Path::new("extra").exists());
}
"""
_MAIN = """\
fn main() {
    print!("{} {} {} ", words::text(), inner::note(), include_str!("../../words/a text.txt"));
    print!("{} {} {} ", macros::opened!(), include_str!("../link/other.txt"), env!("CARGO_PKG_VERSION"));
    print!("{} {} {}", env!("API"), env!("MIGRATIONS"), option_env!("SAID").unwrap_or("nothing"));
}
"""
_MACROS = """\
#[proc_macro]
pub fn opened(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    format!("{:?}", std::fs::read_to_string("opened.txt").unwrap()).parse().unwrap()
}
"""
_WORDS = (
    'mod gone;\npub fn text() -> String { format!("{} {} {} {}", gone::WORD, WORD, env!("TOOL"), env!("EXTRA")) }\n'
)
SOURCES: Files = {
    "Cargo.toml": '[workspace]\nmembers = ["app", "words", "words/inner", "macros", "island"]\nresolver = "2"\n',
    "Cargo.lock": lock(
        locked("app", "0.1.0", "inner", "macros", "words", source=""),
        *(locked(name, "0.1.0", source="") for name in ("inner", "island", "macros", "words")),
    ),
    "app/Cargo.toml": crate(
        "app",
        "0.1.0",
        '[dependencies]\ninner = { path = "../words/inner" }\nmacros = { path = "../macros" }\n'
        'words = { path = "../words" }\n',
    ),
    "app/build.rs": _SCRIPT_WITH_LINES,
    "app/link": Link("../shared"),
    "app/src/main.rs": _MAIN,
    "app/src/bin/old.rs": 'fn main() { print!("a tool") }\n',
    "words/Cargo.toml": crate("words", "0.1.0"),
    "words/build.rs": _SCRIPT_WITHOUT,
    "words/side.txt": "side",
    "words/tool.sh": "#!/bin/sh\n",
    "words/a text.txt": "text",
    "words/src/lib.rs": _WORDS + 'const WORD: &str = env!("SIDE");\n',
    "words/src/gone.rs": 'pub const WORD: &str = "gone";\n',
    "words/inner/Cargo.toml": crate("inner", "0.1.0"),
    "words/inner/src/lib.rs": 'pub fn note() -> &\'static str { include_str!("../../../shared/note.txt") }\n',
    "macros/Cargo.toml": crate("macros", "0.1.0", "[lib]\nproc-macro = true\n"),
    "macros/src/lib.rs": _MACROS,
    "island/Cargo.toml": crate("island", "0.1.0"),
    "island/src/lib.rs": "pub fn alone() {}\n",
    "opened.txt": "opened",
    "shared/note.txt": "note",
    "shared/other.txt": "other",
    "proto/api.txt": "api",
    "migrations/1.sql": "one",
    "README.md": "words\n",
}
"""Four members that hang together, one of them nested in another, and one alone."""
SAYS = "gone side 0 false note text opened other 0.1.0 api 1 nothing"


@dataclass(frozen=True, kw_only=True)
class Built:
    """One run of cargo."""

    code: int
    compiled: frozenset[str]
    """Packages of which something was compiled."""
    executables: tuple[str, ...]
    ledger: Ledger


class Village:
    """The places of a sandbox as directories of a test, in which one compile follows another."""

    def __init__(self, root: Path, blobs: BlobStore, layout: Layout = Layout.V1) -> None:
        self.work = root / "work"
        self.target = root / "target"
        self._home = root / "cargo"
        self._aside = root / "aside"
        self._blobs = blobs
        self._marks = MARKS[layout]
        self._variables: Mapping[str, str] = variables(layout)

    def tree(self, files: Files) -> SourceTree:
        return tree_of(self._blobs, files)

    def workspace(self, files: Files) -> Workspace:
        return read_workspace(TreeFiles(self.tree(files), self._blobs))

    def put(self, tree: SourceTree) -> None:
        """Put entries as the daemon does; every directory gets the sources' time again."""
        for entry in tree:
            path = self.work / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.kind is EntryKind.SYMLINK:
                path.unlink(missing_ok=True)
                path.symlink_to(entry.target)
            elif entry.kind is EntryKind.DIRECTORY:
                path.mkdir(exist_ok=True)
            else:
                assert entry.digest is not None
                path.write_bytes(self._blobs.read(entry.digest))
                path.chmod(0o777 if entry.executable else 0o666)
                os.utime(path, (SOURCE_TIME, SOURCE_TIME))
        for directory, _, _ in os.walk(self.work):
            os.utime(directory, (SOURCE_TIME, SOURCE_TIME))

    def remove(self, paths: Collection[str]) -> None:
        for name in paths:
            path = self.work / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def first(self, files: Files, command: str = _BUILD) -> Built:
        """Compile from nothing."""
        self.work.mkdir()
        self.target.mkdir()
        self.put(self.tree(files))
        return self.build(files, Dirt(), command)

    def again(self, before: Files, after: Files, ledger: Ledger, command: str = _BUILD) -> tuple[Dirt, Built]:
        """Compile another tree over what is there."""
        dirt = self.dirt(before, after, ledger)
        return dirt, self.change(after, dirt, dirt, command)

    def dirt(self, before: Files, after: Files, ledger: Ledger) -> Dirt:
        workspace = self.workspace(after)
        assert workspace.lock is not None
        return dirty(
            self.tree(before),
            self.tree(after),
            ledger,
            _directories(workspace),
            environment="same",
            edges=edges(workspace.packages, workspace.lock),
        )

    def change(self, files: Files, sources: Dirt, marks: Dirt, command: str = _BUILD) -> Built:
        self.remove(sources.remove)
        self.put(SourceTree.of(sources.put))
        return self.build(files, marks, command)

    def build(self, files: Files, marks: Dirt, command: str = _BUILD) -> Built:
        target, work, members = str(self.target), str(self.work), _directories(self.workspace(files))
        script = [
            "set -u",
            f"cd {work}",
            *start_lines(target),
            *self._marks.dirty(marks.packages, marks.dependents, target),
            f"{command}; code=$?",
            *inputs_lines(self._marks.inputs(list(members), naming(work)), target, work),
            *stamp_lines(ARTEFACT_TIME, target),
            "exit $code",
        ]
        done = subprocess.run(
            ["sh", "-c", "\n".join(script)], env=self._environment(), capture_output=True, check=False
        )
        reader = CargoReader(Heard())
        reader.feed(OutputStream.STDOUT, done.stdout)
        reader.close()
        assert done.returncode in {0, 101}, done.stderr.decode()
        assert (done.returncode == 0) is reader.finished, done.stderr.decode()
        return Built(
            code=done.returncode,
            compiled=frozenset(artifact.package.name for artifact in reader.artifacts if not artifact.fresh),
            executables=tuple(Path(one.executable).name for one in reader.artifacts if one.executable),
            ledger=self._ledger(files, members),
        )

    def runs(self, *options: str) -> str:
        """What the program says."""
        program = self.target.joinpath(*options, "release/app")
        return subprocess.run([program], capture_output=True, text=True, check=True).stdout

    def program(self) -> bytes:
        return (self.target / "release/app").read_bytes()

    def clean(self, files: Files) -> bytes:
        """The program that a clean build makes at the same paths."""
        for place in (self.work, self.target):
            place.rename(self._aside.with_suffix(f".{place.name}"))
        try:
            assert self.first(files).code == 0
            return self.program()
        finally:
            for place in (self.work, self.target):
                shutil.rmtree(place)
                self._aside.with_suffix(f".{place.name}").rename(place)

    def times(self) -> set[int]:
        left = self.target / ".bloomery"
        artefacts = (path for path in self.target.rglob("*") if not path.is_relative_to(left))
        return {path.lstat().st_mtime_ns for path in artefacts}

    def says(self, name: str, value: str) -> None:
        """Set a variable for all later steps."""
        self._variables = {**self._variables, name: value}

    def _ledger(self, files: Files, members: Mapping[str, str]) -> Ledger:
        left = self.target / ".bloomery/known+"
        listing = read_listing((left / "paths").read_bytes())
        with (left / "inputs.tar").open("rb") as archive:
            inputs = read_inputs(unpacked(archive), members, self._marks, links=links(listing), work=str(self.work))
        ledger = Ledger(environment="same", members=members, inputs=inputs, written=written(listing, self.tree(files)))
        kept = read_ledger(write_ledger(ledger))
        assert kept == ledger
        return ledger

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "RUSTUP_HOME") if name in os.environ}
        return {
            **inherited,
            "CARGO_HOME": str(self._home),
            "CARGO_INCREMENTAL": "0",
            "CARGO_TARGET_DIR": str(self.target),
            **self._variables,
        }


def _directories(workspace: Workspace) -> dict[str, str]:
    return {package.name: package.directory for package in workspace.packages}
