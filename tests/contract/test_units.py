"""Units through a real engine: taken from one container as a tar stream, put into another, fresh for its cargo."""

import os
import uuid
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.manifests.rust.config import CargoConfig
from cache.manifests.rust.lock import read_lock
from cache.store import Store
from cache.units import UnitKind, UnitOrigin
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.step import SOURCE_TIME
from daemon.engine.docker import DockerEngine
from daemon.engine.engine import Limits, SandboxSpec
from daemon.tarball import Member, stream
from daemon.units.cook import Cook, CookNotes, live_units
from daemon.units.harvest import Harvest, Harvester
from daemon.units.layout_v1 import LayoutV1
from daemon.units.origins import origins
from daemon.units.placing import Placing
from daemon.units.selection import choose
from tests.fakes.local_registry import Crate, configuration, write_registry
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import crate, lock, locked

pytestmark = pytest.mark.engine

SOIL = Crate(
    "soil",
    {
        "build.rs": """
            fn main() {
                println!("cargo:rerun-if-changed=build.rs");
                let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
                std::fs::create_dir(out.join("empty")).unwrap();
                std::fs::write(out.join("depth.rs"), "pub const DEPTH: u32 = 7;").unwrap();
                std::os::unix::fs::symlink("depth.rs", out.join("link.rs")).unwrap();
            }
        """,
        "src/lib.rs": 'include!(concat!(env!("OUT_DIR"), "/link.rs"));\n',
    },
)
ENVIRONMENT = {"CARGO_HOME": "/cargo", "CARGO_TARGET_DIR": "/target", "CARGO_INCREMENTAL": "0", "HOME": "/tmp"}
COOK = ("sh", "-c", "cd /work && exec cargo build --release --locked --offline --message-format=json")


def sources(project: str, directory: Path) -> list[Member]:
    """A project that depends on the crate, and the registry that has it; the builder's, as cargo writes there."""
    write_registry(directory, [SOIL])
    texts = {
        "work/Cargo.toml": crate(project, "0.1.0", '[dependencies]\nsoil = "1"\n'),
        "work/Cargo.lock": lock(*sorted([locked(project, "0.1.0", "soil", source=""), SOIL.locked])),
        "work/src/main.rs": "fn main() { assert_eq!(soil::DEPTH, 7); }\n",
        "cargo/config.toml": configuration(Path("/cargo/local")),
    }
    contents = {path: text.encode() for path, text in texts.items()}
    for file in directory.rglob("*"):
        if file.is_file():
            contents[f"cargo/local/{file.relative_to(directory)}"] = file.read_bytes()
    folders = {str(parent) for path in contents for parent in Path(path).parents if str(parent) != "."}
    owned = {"mtime": SOURCE_TIME, "uid": 10001, "gid": 10001}
    return [
        *(Member(path=folder, mode=0o755, **owned) for folder in sorted(folders)),
        *(Member(path=path, mode=0o644, content=content, **owned) for path, content in contents.items()),
    ]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "state")
    yield opened
    await opened.close()


async def test_units_go_from_one_container_to_another_and_come_back_the_same(engine: str, store: Store, tmp_path: Path):
    layout, key = LayoutV1(), Digest.of(b"key")
    harvester = Harvester(blobs=store.blobs, records=store, layout=layout, scratch=tmp_path)
    artefact_time = SOURCE_TIME + 1
    async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as connection:
        sandboxes = connection.sandboxes

        async def cooked(project: str, units: Iterable[Member]) -> tuple[str, CargoReader]:
            spec = SandboxSpec(
                name=f"bloomery-contract-{uuid.uuid4().hex[:8]}", image=engine, command=COOK, environment=ENVIRONMENT
            )
            sandbox = await sandboxes.create(spec)
            made.append(sandbox)
            await sandboxes.put(sandbox, stream(sources(project, tmp_path / project)))
            await sandboxes.put(sandbox, stream(units))
            reader = CargoReader(Heard())
            ended = await sandboxes.run(sandbox, reader.feed, Limits())
            reader.close()
            assert ended.code == 0, reader.failure(ended.code).detail
            return sandbox, reader

        async def harvested(sandbox: str, reader: CargoReader, name: str) -> tuple[tuple[UnitOrigin, ...], Harvest]:
            text = lock(locked("any", "0.1.0", "soil", source=""), SOIL.locked)
            proved = origins(read_lock("Cargo.lock", text.encode()), CargoConfig())
            notes = CookNotes(id=name, live=live_units(layout, reader.artifacts, reader.script_runs))
            cook = Cook(scope="default", unit_key=key, origins=proved, notes=notes)
            return proved, await harvester.harvest(sandboxes.get(sandbox, "/target"), cook)

        made: list[str] = []
        try:
            sandbox, reader = await cooked("first", [])
            proved, first = await harvested(sandbox, reader, "one")
            assert {unit.kind for unit in first.stored} == set(UnitKind), first

            chosen = choose(await store.units("default", key, ["soil"]), proved)
            placing = Placing(blobs=store.blobs, layout=layout, artefact_time=artefact_time)
            sandbox, reader = await cooked("other", placing.members(chosen))
            assert set(reader.compiled()) == {"other 0.1.0"}

            _, again = await harvested(sandbox, reader, "two")
            assert (again.stored, again.refused) == ((), ())
            assert set(again.known) == {unit.digest for unit in chosen}
        finally:
            for sandbox in made:
                await sandboxes.remove(sandbox)
