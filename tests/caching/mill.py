"""A workspace of cargo packages in which each learns its word from other places, and the chain of builds upon it.

One lineage goes through all modifications and back again after each, so that every case begins where the last compile
was. The oracle is the clean build of the same tree, in a scope that nobody else uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cache.reuse import Rung
from cache.workspaces import WorkspaceRecord
from daemon.builds import ImageRequest
from tests.caching.workshop import NOBODY, Built, Workshop, both
from tests.fakes.rust_projects import Executable, Files, Link, crate, lock, locked

PROJECT = "mill"
EVERYONE = ("app", "grain", "inner", "macros", "rows")

_READS = """\
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
fn main() {
    println!("cargo:rustc-env=SIDE={}", fs::read_to_string("side.txt").unwrap());
    println!("cargo:rustc-env=TOOL={:o}", fs::metadata("tool.sh").unwrap().permissions().mode() & 0o111);
    println!("cargo:rustc-env=EXTRA={}", Path::new("extra").exists());
}
"""
"""Says nothing of what it reads."""
_DECLARES = """\
use std::{env, fs, path::Path, time::{Duration, SystemTime}};
fn main() {
    println!("cargo::rerun-if-changed=../proto/api.txt");
    println!("cargo:rustc-env=API={}", fs::read_to_string("../proto/api.txt").unwrap());
    let made = Path::new(&env::var("OUT_DIR").unwrap()).join("made.rs");
    fs::write(&made, "pub const MADE: &str = \\"made\\";").unwrap();
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    fs::File::options().write(true).open(&made).unwrap().set_modified(late).unwrap();
}
"""
"""Says all; what it makes is from 2100, as careless tools leave what they unpack."""
_MAIN = """\
fn main() {
    println!("{} | {} | {}", grain::words(), rows::words(), macros::opened!());
    println!("{} | {}", include_str!("../../grain/a täxt.txt"), include_str!("../link/other.txt"));
    println!("{} | {}", env!("CARGO_PKG_VERSION"), option_env!("GREETING").unwrap_or("no greeting"));
    println!("{}", if cfg!(feature = "loud") { "!" } else { "." });
}
"""
_GRAIN = """\
pub mod gone;
pub fn words() -> String {
    format!("{} {} {} {} {}", gone::WORD, env!("SIDE"), env!("TOOL"), env!("EXTRA"), inner::words())
}
"""
_INNER = """\
pub fn words() -> &'static str {
    concat!(include_str!("inside.txt"), " ", include_str!("../../../shared/note.txt"))
}
"""
_ROWS = """\
include!(concat!(env!("OUT_DIR"), "/made.rs"));
pub fn words() -> String { format!("{} {}", MADE, env!("API")) }
"""
_MACROS = """\
#[proc_macro]
pub fn opened(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    format!("{:?}", std::fs::read_to_string("opened.txt").unwrap()).parse().unwrap()
}
"""


def locked_as(version: str) -> str:
    """The lock, with the program's own version."""
    return lock(
        locked("app", version, "grain", "macros", "rows", source=""),
        locked("grain", "0.1.0", "inner", source=""),
        *(locked(name, "0.1.0", source="") for name in ("inner", "macros", "rows")),
    )


def app_manifest(version: str = "0.1.0", package: str = "") -> str:
    """The program's own."""
    paths = "".join(f'{name} = {{ path = "../{name}" }}\n' for name in ("grain", "macros", "rows"))
    return crate("app", version, f"[features]\nloud = []\n[dependencies]\n{paths}", package)


MILL: Files = {
    "Cargo.toml": '[workspace]\nmembers = ["app", "grain", "grain/inner", "macros", "rows"]\nresolver = "2"\n'
    "[profile.release]\nopt-level = 0\n",
    "Cargo.lock": locked_as("0.1.0"),
    "app/Cargo.toml": app_manifest(),
    "app/link": Link("../shared"),
    "app/src/main.rs": _MAIN,
    "app/src/bin/tool.rs": 'fn main() { println!("a tool"); }\n',
    "grain/Cargo.toml": crate("grain", "0.1.0", '[dependencies]\ninner = { path = "inner" }\n'),
    "grain/README.md": "grain\n",
    "grain/build.rs": _READS,
    "grain/side.txt": "side",
    "grain/tool.sh": "#!/bin/sh\n",
    "grain/a täxt.txt": "täxt",
    "grain/src/lib.rs": _GRAIN,
    "grain/src/gone.rs": 'pub const WORD: &str = "gone";\n',
    "grain/inner/Cargo.toml": crate("inner", "0.1.0"),
    "grain/inner/src/lib.rs": _INNER,
    "grain/inner/src/inside.txt": "inside",
    "macros/Cargo.toml": crate("macros", "0.1.0", "[lib]\nproc-macro = true\n"),
    "macros/src/lib.rs": _MACROS,
    "rows/Cargo.toml": crate("rows", "0.1.0"),
    "rows/build.rs": _DECLARES,
    "rows/src/lib.rs": _ROWS,
    "opened.txt": "opened",
    "shared/note.txt": "note",
    "shared/other.txt": "other",
    "proto/api.txt": "api",
    "README.md": "words\n",
}
"""The program stands on all; a member is nested in another, one is a procedural macro, two have build scripts."""
SAYS = "gone side 0 false inside note | made api | opened\ntäxt | other\n0.1.0 | no greeting\n."

Change = Mapping[str, "str | bytes | Executable | Link | None"]
"""Files by path; None takes one away."""


def modified(files: Files, change: Change) -> Files:
    """The files after a change."""
    kept = {path: content for path, content in files.items() if path not in change}
    return {**kept, **{path: content for path, content in change.items() if content is not None}}


def replaced(path: str, old: str, new: str, files: Files = MILL) -> dict[str, str]:
    """A change of some words in one file."""
    text = files[path]
    assert isinstance(text, str)
    assert old in text
    return {path: text.replace(old, new)}


def members(*names: str, app: str = "0.1.0") -> set[str]:
    """`name version` of packages."""
    return {f"{name} {app if name == 'app' else '0.1.0'}" for name in names}


@dataclass(frozen=True)
class Round:
    """There and back again, and the clean build of what was there."""

    there: Built
    back: Built
    clean: Built


@dataclass(slots=True)
class Mill:
    """The chain; `cold` is the build that it begins with, and the oracle of every way back."""

    shop: Workshop
    scope: str
    """Each suite's own: another's layers and workspaces are not its."""
    cold: dict[str, Built] = field(default_factory=dict)
    clean: dict[str, Built] = field(default_factory=dict)

    async def build(
        self, files: Files, image: str | ImageRequest = "app", lineage: str = "main", **request: object
    ) -> Built:
        """The lineage's next build."""
        return await self.shop.build(files, image, project=PROJECT, lineage=lineage, scope=self.scope, **request)

    async def fails(self, files: Files, binary: str = "app", lineage: str = "main", **request: object) -> str:
        """The kind of failure of the lineage's next build."""
        ended = await self.shop.attempt(files, binary, project=PROJECT, lineage=lineage, scope=self.scope, **request)
        assert ended.build.failure is not None
        return ended.build.failure.kind

    async def workspace(self, lineage: str = "main") -> WorkspaceRecord:
        """What the lineage's next build goes on in."""
        return await self.shop.workspace(PROJECT, lineage, self.scope)

    async def oracle(self, files: Files, binary: str = "app", **request: object) -> Built:
        """The clean build of a tree; the same is asked for once."""
        asked = f"{await self.shop.tree(files)} {binary} {request}"
        if asked not in self.clean:
            self.clean[asked] = await self.shop.clean(files, binary, project=PROJECT, **request)
        return self.clean[asked]

    async def at(self, files: Files, lineage: str = "main") -> None:
        """Begin where these files were compiled, whatever an earlier case has left."""
        await self.shop.forget_results()
        record = await self.shop.store.workspace(self.scope, PROJECT, lineage)
        if record is None or record.tree != await self.shop.tree(files):
            built = await self.build(files, lineage=lineage, parent=NOBODY)
            assert built.rung is not Rung.RESULT
            await self.shop.forget_results()

    async def round(self, files: Files, binary: str = "app", base: Files = MILL, *, same_image: bool = False) -> Round:
        """Build these files where `base` was compiled, then `base` again.

        Where nothing can read what has changed, the first build is the oracle.
        """
        await self.at(base)

        async def there_and_back() -> tuple[Built, Built]:
            there = await self.build(files, binary)
            return there, await self.build(base)

        if same_image:
            return Round(*await there_and_back(), self.cold["app"])
        (there, back), clean = await both(there_and_back(), self.oracle(files, binary))
        return Round(there, back, clean)
