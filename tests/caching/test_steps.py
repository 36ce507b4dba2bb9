"""The scripts of cook, settle and compile, run by a real shell and a real cargo, with no engine around them.

The places of a sandbox (`/work`, `/target`, `/cargo`, `/bloomery`) are directories of the test: scripts, members and
configuration are rewritten on their way. The crate from outside is in a local registry, which cargo unpacks like one
that it downloaded.
"""

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.ecosystems.ecosystem import UntrustworthyLayer
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.rust.project import RustProject
from daemon.ecosystems.step import SOURCE_TIME, Compiled, Step
from daemon.engine.engine import OutputStream
from daemon.pipeline.sandboxes import step_members
from daemon.toolchains.toolchain import NO_LAYOUT
from daemon.units.layout import Layout
from tests.fakes.layouts import variables
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import ARTEFACT_TIME, Files, crate, lock, locked, planned, stable

_PLACES = re.compile(r"(?<![\w.])/(work|target|cargo|bloomery)\b")

PLANT_BUILD = """\
fn main() {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rustc-env=GROWN={}", std::env::var("SOURCE_DATE_EPOCH").unwrap());
}
"""
PLANT = {
    "Cargo.toml": crate("plant", "1.0.0"),
    "build.rs": PLANT_BUILD,
    "src/lib.rs": 'pub fn grown() -> &\'static str { env!("GROWN") }\n',
}


def packed(name: str, files: dict[str, str]) -> bytes:
    """A `.crate` archive; the files in it are newer than any artefact, as careless ones are."""
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mtime, entry.mode = len(text.encode()), ARTEFACT_TIME + 1_000, 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


PLANT_CRATE = packed("plant-1.0.0", PLANT)
PLANT_SUM = Digest.of(PLANT_CRATE).hex
ENTRY = {"name": "plant", "vers": "1.0.0", "deps": [], "cksum": PLANT_SUM, "features": {}, "yanked": False}
FILES: Files = {
    "Cargo.toml": '[workspace]\nmembers = ["app", "util"]\nresolver = "2"\n',
    "Cargo.lock": lock(
        locked("app", "0.3.0", "plant", "util", source=""),
        locked("plant", "1.0.0", checksum=PLANT_SUM),
        locked("util", "0.1.0", source=""),
    ),
    "app/Cargo.toml": crate("app", "0.3.0", '[dependencies]\nplant = "1"\nutil = { path = "../util" }\n'),
    "app/build.rs": 'fn main() { println!("cargo:rustc-env=SAID=one"); }\n',
    "app/src/main.rs": 'fn main() { println!("{} {} {}", util::name(), env!("SAID"), plant::grown()); }\n',
    "util/Cargo.toml": crate("util", "0.1.0"),
    "util/src/lib.rs": 'pub fn name() -> &\'static str { "util" }\n',
    ".cargo/config.toml": '[source.crates-io]\nreplace-with = "here"\n[source.here]\nlocal-registry = "registry"\n',
    "registry/index/pl/an/plant": json.dumps(ENTRY) + "\n",
    "registry/plant-1.0.0.crate": PLANT_CRATE,
}


class Sandbox:
    """A root directory in which steps run one after another."""

    variables: Mapping[str, str] = MappingProxyType({})
    """What cargo is started with beside the step's environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for place in ("work", "target", "cargo"):
            (root / place).mkdir(parents=True)

    def run(self, step: Step, project: RustProject) -> tuple[int, CargoReader]:
        for member in (*step_members(step.script), *step.members):
            self._put(member.path.strip("/"), member.mode, member.mtime, member)
        environment = {
            name: self._here(value) for name, value in step.environment.items() if name not in {"PATH", "HOME"}
        }
        environment |= {name: os.environ[name] for name in ("PATH", "HOME", "RUSTUP_HOME") if name in os.environ}
        environment |= self.variables
        done = subprocess.run(
            ["sh", self.root / "bloomery/step"], cwd=self.root, env=environment, capture_output=True, check=False
        )
        reader = project.reader(Heard())
        assert isinstance(reader, CargoReader)
        reader.feed(OutputStream.STDOUT, self._there(done.stdout))
        reader.feed(OutputStream.STDERR, self._there(done.stderr))
        reader.close()
        return done.returncode, reader

    def _put(self, path: str, mode: int, mtime: int, member: object) -> None:
        target = self.root / path
        if member.target is not None:
            target.symlink_to(member.target)
            return
        if member.content is None and member.source is None:
            target.mkdir(exist_ok=True)
        else:
            content = member.content if member.content is not None else member.source.read_bytes()
            rewritten = path in {"bloomery/step", "cargo/config.toml"}
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._here(content.decode()).encode() if rewritten else content)
        target.chmod(mode)
        os.utime(target, (mtime, mtime))
        while self.root not in {target, target.parent}:  # what is put into a directory does not make it newer
            target = target.parent
            os.utime(target, (SOURCE_TIME, SOURCE_TIME))

    def _here(self, text: str) -> str:
        return _PLACES.sub(lambda found: f"{self.root}/{found[1]}", text)

    def _there(self, output: bytes) -> bytes:
        return output.replace(f"{self.root}/".encode(), b"/")

    def files(self, place: str) -> set[str]:
        top = self.root / place
        return {str(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir()}

    def times(self, place: str) -> set[int]:
        return {int(path.lstat().st_mtime) for path in [self.root / place, *(self.root / place).rglob("*")]}

    def output(self, compiled: Compiled) -> str:
        program = self.root / compiled.taken.strip("/") / compiled.binaries[0]
        return subprocess.run([program], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "root")


def cook(sandbox: Sandbox, project: RustProject) -> CargoReader:
    """Cook and settle: what is in the sandbox then is the layer."""
    code, cooked = sandbox.run(project.cooking.step(Fetched()), project)
    assert code == 0, cooked.failure(code).detail
    code, settled = sandbox.run(project.cooking.settle(cooked), project)
    assert code == 0, settled.failure(code).detail
    return cooked


def compile_over(sandbox: Sandbox, project: RustProject) -> tuple[CargoReader, Compiled]:
    code, reader = sandbox.run(project.compiling.step(), project)
    assert code == 0, reader.failure(code).detail
    return reader, project.compiling.compiled(reader)


@pytest.mark.parametrize(
    ("layout", "known"),
    [(Layout.V1, Layout.V1), (Layout.V2, Layout.V2), (Layout.V2, Layout.V1), (Layout.V2, NO_LAYOUT)],
    ids=["v1", "v2", "v2 that is taken for v1", "v2 that is not known"],
)
def test_a_layer_holds_the_units_of_dependencies_alone_and_every_one_is_fresh_in_the_compile(
    blobs: BlobStore, sandbox: Sandbox, layout: Layout, known: str
):
    """Laws 1 to 4, with a dependency that watches its own directory; they hold whatever is known of the layout."""
    sandbox.variables = variables(layout)
    project = planned(blobs, FILES, offered=stable(layout=known))

    cooked = cook(sandbox, project)

    assert set(cooked.compiled()) == {"plant 1.0.0"}
    assert any(artifact.package.is_stub for artifact in cooked.artifacts)
    left = sandbox.files("target")
    assert any("libplant-" in path for path in left)
    assert not any(re.search(r"(^|/)(lib)?(app|util)[-./]", path) for path in left)
    assert sandbox.files("work") == set()
    assert sandbox.times("target") == {ARTEFACT_TIME}

    reader, compiled = compile_over(sandbox, project)

    assert {artifact.package.words for artifact in reader.artifacts if artifact.fresh} == {"plant 1.0.0"}
    assert set(reader.compiled()) == {"app 0.3.0", "util 0.1.0"}
    assert sandbox.output(compiled) == f"util one {SOURCE_TIME}\n"
    assert compiled.notes == ()


def test_an_edit_between_two_compiles_over_copies_of_one_layer_is_seen_at_equal_times(
    blobs: BlobStore, sandbox: Sandbox, tmp_path: Path
):
    project = planned(blobs, FILES)
    cook(sandbox, project)
    edits = {
        "app/build.rs": FILES["app/build.rs"].replace("one", "two"),
        "util/src/lib.rs": FILES["util/src/lib.rs"].replace('"util"', '"edit"'),
    }
    said = []
    for number, files in enumerate([FILES, {**FILES, **edits}, FILES]):
        shutil.copytree(sandbox.root, tmp_path / str(number), symlinks=True)
        # The copy stands at another path, where cargo would compile all anew: it takes the place of the first.
        again = Sandbox.__new__(Sandbox)
        again.root = sandbox.root
        _, compiled = compile_over(again, planned(blobs, files))
        said.append(again.output(compiled).split()[:2])
        shutil.rmtree(sandbox.root)
        shutil.copytree(tmp_path / str(number), sandbox.root, symlinks=True)

    assert said == [["util", "one"], ["edit", "two"], ["util", "one"]]


def test_a_layer_in_which_members_were_left_is_not_trusted(blobs: BlobStore, sandbox: Sandbox):
    """Law 4: the second compile in one sandbox finds what the first left, as if the layer had held it."""
    project = planned(blobs, FILES)
    cook(sandbox, project)
    compile_over(sandbox, project)

    code, reader = sandbox.run(project.compiling.step(), project)

    assert code == 0
    with pytest.raises(UntrustworthyLayer, match="already compiled"):
        project.compiling.compiled(reader)


def test_a_layer_whose_stubs_were_left_makes_no_binary_of_them(blobs: BlobStore, sandbox: Sandbox):
    """Law 3: a stub has another version, so that cargo compiles the real one beside it."""
    project = planned(blobs, FILES)
    code, _ = sandbox.run(project.cooking.step(Fetched()), project)
    assert code == 0

    _, compiled = compile_over(sandbox, project)

    assert sandbox.output(compiled).startswith("util one")


def test_what_a_build_writes_into_its_sources_is_told(blobs: BlobStore, sandbox: Sandbox):
    writes = 'fn main() { std::fs::write("generated.txt", "x").unwrap(); println!("cargo:rustc-env=SAID=w"); }\n'
    project = planned(blobs, {**FILES, "app/build.rs": writes})
    cook(sandbox, project)

    _, compiled = compile_over(sandbox, project)

    assert compiled.notes == ("The build wrote app/generated.txt into the source tree; it is not kept.",)


def test_the_compile_gets_what_the_project_adds_to_its_environment_and_the_cook_does_not(
    blobs: BlobStore, sandbox: Sandbox
):
    shows = 'fn main() { println!("cargo:rustc-env=SAID={}", std::env::var("GREETING").unwrap()); }\n'
    toml = '[build]\nenvironment = { GREETING = "it\'s $HOME" }\n'
    project = planned(blobs, {**FILES, "app/build.rs": shows, "bloomery.toml": toml})
    cook(sandbox, project)

    _, compiled = compile_over(sandbox, project)

    assert sandbox.output(compiled).startswith("util it's $HOME ")


def test_a_binary_is_parted_from_its_symbols(blobs: BlobStore, sandbox: Sandbox):
    project = planned(blobs, FILES)
    cook(sandbox, project)

    _, compiled = compile_over(sandbox, project)

    out = sandbox.root / compiled.taken.strip("/")
    assert {path.name for path in out.iterdir() if path.is_file()} == {"app", "app.debug"}
    symbols = [
        subprocess.run(["nm", out / name], capture_output=True, text=True, check=False) for name in ("app", "app.debug")
    ]
    assert "no symbols" in symbols[0].stderr
    assert " main" in symbols[1].stdout


def test_a_source_that_does_not_compile_ends_the_step_with_cargos_code(blobs: BlobStore, sandbox: Sandbox):
    project = planned(
        blobs, {**FILES, "app/src/main.rs": 'compile_error!("error: failed to download");\nfn main() {}\n'}
    )
    cook(sandbox, project)

    code, reader = sandbox.run(project.compiling.step(), project)

    assert code == 101
    failure = reader.failure(code)
    assert (failure.kind, failure.evidence["file"], failure.evidence["line"]) == (
        "compile_failed",
        "app/src/main.rs",
        1,
    )


def test_settling_takes_out_what_is_not_on_the_list_whatever_it_is_called(blobs: BlobStore, sandbox: Sandbox):
    project = planned(blobs, FILES)
    cooked = cook(sandbox, project)
    release = sandbox.root / "target/release"
    for odd in (
        "deps/-rf",
        "deps/two words-0123456789abcdef",
        "deps/nohash",
        "build/left-0123456789abcdef/out/file",
        ".fingerprint/left-0123456789abcdef/x",
        "examples/e",
        "incremental/i/x",
        "app",
        "libapp.rlib",
        "app.d",
    ):
        (release / odd).parent.mkdir(parents=True, exist_ok=True)
        (release / odd).write_text("")
    before = sandbox.files("target")

    code, _ = sandbox.run(project.cooking.settle(cooked), project)

    assert code == 0
    left = sandbox.files("target")
    assert left < before
    assert not any("left-" in path or "-rf" in path or "words" in path or "nohash" in path for path in left)
    assert not {"release/app", "release/libapp.rlib", "release/app.d", "release/examples/e"} & left
    assert any("plant-" in path for path in left)
