"""Units of one project put before another by a real cargo, with no engine around it.

Cargo is the judge: what was put in is fresh, and exactly the rest is compiled. The crates have a build script with an
OUT_DIR, a procedural macro, and a library that stands on both; they are in a local registry, which cargo unpacks like
one that it downloaded. Places of a sandbox are directories of the test, the same ones for both projects.
"""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.manifests.rust.config import CargoConfig
from cache.manifests.rust.lock import read_lock
from cache.store import Store
from cache.units import UnitKind, UnitRecord
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.step import SOURCE_TIME
from daemon.engine.engine import OutputStream
from daemon.tarball import pieces
from daemon.units.cook import Cook, CookNotes, GivenUnit, live_units
from daemon.units.harvest import Harvest, Harvester
from daemon.units.layout import Layout, UnitId
from daemon.units.layout_v1 import LayoutV1
from daemon.units.layout_v2 import LayoutV2
from daemon.units.origins import origins
from daemon.units.placing import Placing
from daemon.units.selection import choose
from tests.fakes.layouts import FILES, variables
from tests.fakes.local_registry import Crate, configuration, write_registry
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import ARTEFACT_TIME, crate, lock, locked

SOIL = Crate(
    "soil",
    {
        "build.rs": """
            fn main() {
                println!("cargo:rerun-if-changed=build.rs");
                let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
                std::fs::create_dir(out.join("empty")).ok();
                std::fs::write(out.join("depth.rs"), "pub const DEPTH: u32 = 7;").unwrap();
                std::os::unix::fs::symlink("depth.rs", out.join("link.rs")).unwrap();
                println!("cargo:rustc-env=SOIL=brown");
            }
        """,
        "src/lib.rs": 'include!(concat!(env!("OUT_DIR"), "/link.rs"));\npub const COLOUR: &str = env!("SOIL");\n',
    },
)
DEEP_SOIL = replace(SOIL, version="1.1.0", files={**SOIL.files, "build.rs": SOIL.files["build.rs"].replace("7", "9")})
GRAFT = Crate(
    "graft",
    {
        "src/lib.rs": """
            #[proc_macro]
            pub fn five(_: proc_macro::TokenStream) -> proc_macro::TokenStream { "5u32".parse().unwrap() }
        """
    },
    manifest="[lib]\nproc-macro = true\n",
)
TREE = Crate(
    "tree",
    {"src/lib.rs": "pub fn height() -> u32 { graft::five!() + soil::DEPTH }\n"},
    dependencies=("graft", "soil"),
)
FRUIT = Crate("fruit", {"src/lib.rs": "pub fn size() -> u32 { tree::height() * 2 }\n"}, dependencies=("tree",))
ALL = (SOIL, DEEP_SOIL, GRAFT, TREE, FRUIT)
UNITS_OF_TREE = {
    ("graft", UnitKind.LIBRARY),
    ("soil", UnitKind.BUILD_SCRIPT),
    ("soil", UnitKind.RUN),
    ("soil", UnitKind.LIBRARY),
    ("tree", UnitKind.LIBRARY),
}
TRIPLE = "x86_64-unknown-linux-gnu"
KEY = Digest.of(b"the unit key")
LAYOUTS = {Layout.V1: LayoutV1, Layout.V2: LayoutV2}


@dataclass(frozen=True)
class Project:
    """A program and the crates in its lock; it depends on the last one."""

    name: str
    crates: tuple[Crate, ...]
    main: str

    @property
    def lock(self) -> str:
        return lock(
            *sorted([locked(self.name, "0.1.0", self.crates[-1].name, source=""), *(c.locked for c in self.crates)])
        )


ORCHARD = Project("orchard", (GRAFT, SOIL, TREE), 'fn main() { println!("{}", tree::height()); }\n')
MARKET = Project("market", (GRAFT, SOIL, TREE, FRUIT), 'fn main() { println!("{}", fruit::size()); }\n')
DEEP = Project("deep", (GRAFT, DEEP_SOIL, TREE), 'fn main() { println!("{}", tree::height()); }\n')


class Yard:
    """Two constant paths, a cargo that runs in them, and the store of units."""

    def __init__(self, root: Path, store: Store, layout: Layout) -> None:
        self.work, self.target, self.cargo, self.registry = (root / n for n in ("work", "target", "cargo", "registry"))
        self.root, self.store = root, store
        self.layout = LAYOUTS[layout](str(self.target))
        self.files = FILES[layout]
        self._variables = variables(layout)
        self.last = CargoReader(Heard())
        self.cooks = 0
        for place in (self.cargo, self.target):
            place.mkdir(parents=True)
        write_registry(self.registry, ALL)
        (self.cargo / "config.toml").write_text(configuration(self.registry))

    def build(self, project: Project, *arguments: str, flags: str = "") -> set[str]:
        """Build it from the target directory as it is; returns what was compiled. Its output is `self.said`."""
        shutil.rmtree(self.work, ignore_errors=True)
        name = project.crates[-1].name
        manifest = crate(project.name, "0.1.0", f'[dependencies]\n{name} = "1"\n')
        for path, text in {"Cargo.toml": manifest, "Cargo.lock": project.lock, "src/main.rs": project.main}.items():
            (self.work / path).parent.mkdir(parents=True, exist_ok=True)
            (self.work / path).write_text(text)
            os.utime(self.work / path, (SOURCE_TIME, SOURCE_TIME))
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "RUSTUP_HOME") if name in os.environ}
        environment |= {
            "CARGO_HOME": str(self.cargo),
            "CARGO_TARGET_DIR": str(self.target),
            "CARGO_INCREMENTAL": "0",
            "RUSTFLAGS": flags,
            **self._variables,
        }
        command = ["cargo", "build", "--release", "--locked", "--offline", "--message-format=json", *arguments]
        done = subprocess.run(command, cwd=self.work, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        self.last = CargoReader(Heard())
        self.last.feed(OutputStream.STDOUT, done.stdout)
        self.last.close()
        (binary,) = [artifact.executable for artifact in self.last.artifacts if artifact.executable]
        self.said = subprocess.run([binary], capture_output=True, text=True, check=True).stdout
        return set(self.last.compiled())

    def notes(self, *given: UnitRecord) -> CookNotes:
        self.cooks += 1
        return CookNotes(
            id=f"cook-{self.cooks}",
            live=live_units(self.layout, self.last.artifacts, self.last.script_runs),
            given=tuple(
                GivenUnit(unit=UnitId(one.home, one.unit_hash), digest=one.digest, cook=one.cook) for one in given
            ),
        )

    async def harvest(self, project: Project, *given: UnitRecord) -> Harvest:
        """Store what the last build left."""
        proved = origins(read_lock("Cargo.lock", project.lock.encode()), CargoConfig())
        harvester = Harvester(
            blobs=self.store.blobs, records=self.store, layout=self.layout, scratch=self.root, clock=lambda: self.cooks
        )
        cook = Cook(scope="default", unit_key=KEY, origins=proved, notes=self.notes(*given))
        return await harvester.harvest(self.archive(), cook)

    async def archive(self) -> AsyncGenerator[bytes, None]:
        """The target directory as an engine gives it: names from its top, a second name as a link to the first."""
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(self.target, "target")
        yield held.getvalue()

    async def chosen(self, project: Project, **asked: object) -> tuple[UnitRecord, ...]:
        proved = origins(read_lock("Cargo.lock", project.lock.encode()), CargoConfig())
        stored = await self.store.units("default", KEY, [one.name for one in proved])
        return choose(stored, proved, **asked)

    def place(self, units: tuple[UnitRecord, ...]) -> Placing:
        """Put units into an empty target directory."""
        shutil.rmtree(self.target)
        self.target.mkdir()
        placing = Placing(blobs=self.store.blobs, layout=self.layout, artefact_time=ARTEFACT_TIME)
        stream = io.BytesIO(b"".join(pieces(placing.members(units))))
        with tarfile.open(fileobj=stream) as tar:
            assert {(one.mtime, one.uid, one.gid) for one in tar} == {(ARTEFACT_TIME, 10001, 10001)}
            tar.extractall(self.root, filter="data")
        return placing

    def contents(self) -> Mapping[str, bytes]:
        """All files of the target directory but those that cargo makes for itself."""
        files = (path for path in self.target.rglob("*") if path.is_file() and path.parent != self.target)
        return {str(path.relative_to(self.target)): path.read_bytes() for path in files}


@pytest.fixture(params=list(Layout))
async def yard(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Yard]:
    store = await Store.open(tmp_path / "state")
    yield Yard(tmp_path / "yard", store, request.param)
    await store.close()


def kinds(units: tuple[UnitRecord, ...]) -> set[tuple[str, UnitKind]]:
    return {(unit.origin.name, unit.kind) for unit in units}


async def test_units_of_one_project_are_fresh_in_another_and_exactly_the_rest_is_compiled(yard: Yard):
    assert yard.build(ORCHARD) == {"graft 1.0.0", "soil 1.0.0", "tree 1.0.0", "orchard 0.1.0"}
    harvest = await yard.harvest(ORCHARD)
    assert (kinds(harvest.stored), harvest.refused) == (UNITS_OF_TREE, ())

    chosen = await yard.chosen(MARKET)
    assert set(yard.place(chosen).placed) == set(harvest.stored)

    assert yard.build(MARKET) == {"fruit 1.0.0", "market 0.1.0"}
    assert yard.said == "24\n"
    assert {one.package.words for one in yard.last.artifacts if one.fresh} == {
        "graft 1.0.0",
        "soil 1.0.0",
        "tree 1.0.0",
    }
    assert yard.build(MARKET) == set(), "the next build dispatches nothing"

    again = await yard.harvest(MARKET, *chosen)
    assert (kinds(again.stored), again.changed, again.refused) == ({("fruit", UnitKind.LIBRARY)}, (), ())
    assert set(again.known) == {unit.digest for unit in chosen}


async def test_a_build_over_units_is_a_clean_build_byte_for_byte(yard: Yard):
    yard.build(MARKET)
    clean = yard.contents()
    yard.place(())
    yard.build(ORCHARD)
    await yard.harvest(ORCHARD)
    yard.place(await yard.chosen(MARKET))

    yard.build(MARKET)

    unread = {path for path in clean if path.endswith("/stderr")}
    assert yard.contents() == {path: content for path, content in clean.items() if path not in unread}


async def test_other_flags_make_everything_of_the_store_useless(yard: Yard):
    """The negative control: were units fresh whatever they were made with, this would tell."""
    yard.build(ORCHARD)
    await yard.harvest(ORCHARD)
    yard.place(await yard.chosen(ORCHARD))

    assert yard.build(ORCHARD, flags="-C debug-assertions") == {
        "graft 1.0.0",
        "soil 1.0.0",
        "tree 1.0.0",
        "orchard 0.1.0",
    }


async def test_another_version_of_a_crate_takes_what_stands_on_the_old_one_out_of_the_choice(yard: Yard):
    yard.build(ORCHARD)
    await yard.harvest(ORCHARD)

    chosen = await yard.chosen(DEEP)
    yard.place(chosen)

    assert kinds(chosen) == {("graft", UnitKind.LIBRARY)}
    assert yard.build(DEEP) == {"soil 1.1.0", "tree 1.0.0", "deep 0.1.0"}
    assert yard.said == "14\n"


async def test_both_sides_of_a_build_for_a_named_target_are_fresh(yard: Yard):
    yard.build(ORCHARD, "--target", TRIPLE)
    harvest = await yard.harvest(ORCHARD)

    yard.place(await yard.chosen(MARKET))

    assert {(unit.origin.name, unit.platform) for unit in harvest.stored if unit.kind is UnitKind.LIBRARY} == {
        ("graft", "host"),
        ("soil", TRIPLE),
        ("tree", TRIPLE),
    }
    assert yard.build(MARKET, "--target", TRIPLE) == {"fruit 1.0.0", "market 0.1.0"}


async def test_law_9_a_damaged_unit_is_left_out_with_what_stands_on_it_and_cargo_compiles_those(yard: Yard):
    yard.build(ORCHARD)
    harvest = await yard.harvest(ORCHARD)
    (soil,) = [one for one in harvest.stored if (one.origin.name, one.kind) == ("soil", UnitKind.LIBRARY)]
    path = yard.store.blobs.path(soil.blob)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    placing = yard.place(await yard.chosen(ORCHARD))

    assert placing.damaged == [soil]
    assert [one.origin.name for one in placing.left_out] == ["tree"]
    assert yard.build(ORCHARD) == {"soil 1.0.0", "tree 1.0.0", "orchard 0.1.0"}
    assert not path.exists()


async def test_law_11_nothing_is_stored_of_a_cook_that_changed_a_given_unit(yard: Yard):
    yard.build(ORCHARD)
    await yard.harvest(ORCHARD)
    chosen = await yard.chosen(MARKET)
    yard.place(chosen)
    yard.build(MARKET)
    (changed,) = yard.target.glob(f"release/{yard.files.out_dir.format('soil')}/depth.rs")
    changed.write_text("pub const DEPTH: u32 = 8;")

    harvest = await yard.harvest(MARKET, *chosen)

    (run,) = [one for one in chosen if one.kind is UnitKind.RUN]
    assert (harvest.stored, harvest.changed) == ((), (UnitId(run.home, run.unit_hash),))
    assert kinds(await yard.chosen(MARKET)) == UNITS_OF_TREE


async def test_law_11_a_unit_that_compiles_to_other_bytes_is_reported_with_what_stands_on_it(yard: Yard):
    yard.build(ORCHARD)
    await yard.harvest(ORCHARD)
    yard.place(())
    yard.build(MARKET)
    for output in yard.target.glob(f"release/{yard.files.printed.format('soil')}"):
        output.write_text(output.read_text() + "made at noon\n")

    harvest = await yard.harvest(MARKET)

    assert {(one.words, str(one.why)) for one in harvest.refused} == {
        ("soil 1.0.0", "differs"),
        ("soil 1.0.0", "dependency"),
        ("tree 1.0.0", "dependency"),
        ("fruit 1.0.0", "dependency"),
    }
    assert harvest.stored == ()
