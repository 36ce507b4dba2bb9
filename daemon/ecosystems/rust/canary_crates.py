"""The canary's crates: small, without a dependency from any network, and with one of each kind of unit.

Three packages of a git repository, which is made on the spot: one with a build script, a procedural macro, and one that
stands on both. Four members: a program, one with a build script that the program stands on, one that reads the same
file as that, and one that has nothing to do with any of them.
"""

from collections.abc import Iterator

from cache.manifests.rust.config import CargoConfig
from cache.manifests.rust.lock import read_lock
from cache.units import UnitKind, UnitOrigin
from daemon.ecosystems.rust.environment import BUILDER
from daemon.ecosystems.step import SOURCE_TIME
from daemon.tarball import Member
from daemon.toolchains.git_repository import git_repository
from daemon.units.origins import origins

PROGRAM = "furnace"
MARKED = ("bellows", "slag")
"""The members that change: one with a build script, and one that would be found fresh but for its own dep-info."""
MEMBERS = {name: name for name in ("ash", "bellows", PROGRAM, "slag")}
"""Directories by package name."""
SHARED, WATCHED = "word.txt", "note.txt"
"""What two members read, and what the marked one's build script watches."""
READ = {
    "ash": ({"ash/src/lib.rs"}, set[str]()),
    "bellows": ({"bellows/src/lib.rs", "bellows/build.rs", SHARED}, {WATCHED}),
    PROGRAM: ({f"{PROGRAM}/src/main.rs"}, set[str]()),
    "slag": ({"slag/src/lib.rs", SHARED}, set[str]()),
}
"""What each member reads, and what its build script watches."""
UNITS = {
    ("vein", UnitKind.BUILD_SCRIPT),
    ("vein", UnitKind.RUN),
    ("vein", UnitKind.LIBRARY),
    ("spark", UnitKind.LIBRARY),
    ("seam", UnitKind.LIBRARY),
}
"""All that can be stored of it."""
SAYS = "12 iron hot bellows slag"
CHANGED = {"slag/src/lib.rs": ("slag", "dross"), WATCHED: ("hot", "cold")}
"""By path, what is written in place of what; the times stay."""
SAYS_AFTERWARDS = "12 iron cold bellows dross"

_REPOSITORY = "repository"


def _manifest(name: str, rest: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "1.0.0"\nedition = "2021"\n{rest}'


_CRATES = {
    "vein/Cargo.toml": _manifest("vein"),
    "vein/build.rs": """\
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=METAL=iron");
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    std::fs::write(out.join("depth.rs"), "pub const DEPTH: u32 = 7;").unwrap();
}
""",
    "vein/src/lib.rs": 'include!(concat!(env!("OUT_DIR"), "/depth.rs"));\npub const METAL: &str = env!("METAL");\n',
    "spark/Cargo.toml": _manifest("spark", "[lib]\nproc-macro = true\n"),
    "spark/src/lib.rs": "#[proc_macro]\npub fn five(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n"
    '    "5u32".parse().unwrap()\n}\n',
    "seam/Cargo.toml": _manifest(
        "seam", '[dependencies]\nspark = { path = "../spark" }\nvein = { path = "../vein" }\n'
    ),
    "seam/src/lib.rs": "pub use vein::METAL;\npub fn height() -> u32 { spark::five!() + vein::DEPTH }\n",
}
_GIT = git_repository({path: text.encode() for path, text in _CRATES.items()})
_URL = f"git+file:///{_REPOSITORY}?rev={_GIT.revision}"


def _locked(name: str, *dependencies: str, source: str = "") -> str:
    lines = [f'\n[[package]]\nname = "{name}"\nversion = "1.0.0"']
    lines += [f'source = "{source}"'] if source else []
    lines += ["dependencies = [", *(f' "{one}",' for one in dependencies), "]"] if dependencies else []
    return "\n".join([*lines, ""])


LOCK = "version = 3\n" + "".join(
    (
        _locked("ash"),
        _locked("bellows"),
        _locked(PROGRAM, "bellows", "seam", "slag"),
        _locked("seam", "spark", "vein", source=f"{_URL}#{_GIT.revision}"),
        _locked("slag"),
        _locked("spark", source=f"{_URL}#{_GIT.revision}"),
        _locked("vein", source=f"{_URL}#{_GIT.revision}"),
    )
)
_SOURCES = {
    "Cargo.toml": f'[workspace]\nmembers = ["ash", "bellows", "{PROGRAM}", "slag"]\nresolver = "2"\n',
    "Cargo.lock": LOCK,
    SHARED: "iron",
    WATCHED: "hot",
    "ash/Cargo.toml": _manifest("ash"),
    "ash/src/lib.rs": "pub fn ash() {}\n",
    "bellows/Cargo.toml": _manifest("bellows"),
    "bellows/build.rs": f"""\
fn main() {{
    println!("cargo:rerun-if-changed=../{WATCHED}");
    let made = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap()).join("made");
    let before = if made.exists() {{ "once more" }} else {{ "" }};
    std::fs::write(made, "").unwrap();
    println!("cargo:rustc-env=NOTE={{}}{{before}}", std::fs::read_to_string("../{WATCHED}").unwrap());
}}
""",
    "bellows/src/lib.rs": 'pub const WORD: &str = "bellows";\npub const NOTE: &str = env!("NOTE");\n'
    f'pub const SHARED: &str = include_str!("../../{SHARED}");\n',
    f"{PROGRAM}/Cargo.toml": _manifest(
        PROGRAM,
        f'[dependencies]\nbellows = {{ path = "../bellows" }}\nslag = {{ path = "../slag" }}\n'
        f'seam = {{ git = "file:///{_REPOSITORY}", rev = "{_GIT.revision}" }}\n',
    ),
    f"{PROGRAM}/src/main.rs": "fn main() {\n"
    '    println!("{} {} {} {} {}", seam::height(), seam::METAL, bellows::NOTE, bellows::WORD, slag::WORD);\n'
    "    assert_eq!(bellows::SHARED, slag::SHARED);\n}\n",
    "slag/Cargo.toml": _manifest("slag"),
    "slag/src/lib.rs": f'pub const WORD: &str = "slag";\npub const SHARED: &str = include_str!("../../{SHARED}");\n',
}


def sources() -> Iterator[Member]:
    """The sources and the repository, the builder's, with the sources' one time."""
    contents = {f"work/{path}": text.encode() for path, text in _SOURCES.items()}
    contents |= {f"{_REPOSITORY}/{path}": content for path, content in _GIT.files.items()}
    above = {"/".join(path.split("/")[:depth]) for path in contents for depth in range(1, path.count("/") + 1)}
    for directory in sorted(above):
        yield Member(path=directory, mode=0o755, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER)
    for path, content in sorted(contents.items()):
        yield Member(path=path, mode=0o644, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER, content=content)


def proved() -> tuple[UnitOrigin, ...]:
    """The packages of the repository, proved by its revision."""
    return origins(read_lock("Cargo.lock", LOCK.encode()), CargoConfig())
