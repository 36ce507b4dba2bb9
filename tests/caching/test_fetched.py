"""Real cargo and a registry that counts: what is here already is not asked for again."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from cache.digest import Digest
from daemon.builds import BuildRequest
from daemon.config import FetchNetwork, NetworkConfig
from daemon.ecosystems.kept import Fetched, KeptPackage
from daemon.errors import StoredFileDamaged
from tests.caching.workshop import Built, Workshop, workshop
from tests.conftest import Leftovers
from tests.fakes.git_server import GitServer
from tests.fakes.local_registry import Crate
from tests.fakes.rust_projects import Files, crate, lock, locked
from tests.fakes.sparse_registry import SparseRegistry, served

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

NAME = "bloomery-e2e-fetched"


def library(name: str, *dependencies: str, version: str = "1.0.0", windows: tuple[str, ...] = ()) -> Crate:
    """A crate whose `word` is its name and version after its dependencies' words."""
    inner = ", ".join(["String::new()", *(f"{one}::word()" for one in dependencies)])
    text = f'pub fn word() -> String {{ [{inner}].concat() + "{name}-{version}." }}\n'
    return Crate(name, {"src/lib.rs": text}, version, dependencies, windows=windows)


LEAF, BARK, PANE = library("leaf"), library("bark"), library("pane")
TWIG = library("twig", "leaf", windows=("pane",))
NEWER = library("leaf", version="1.1.0")


def project(*crates: Crate, needs: tuple[str, ...], more: str = "") -> Files:
    """An application that says its dependencies' words."""
    wanted = "".join(f'{name} = "1"\n' for name in needs)
    said = " + &".join(["String::new()", *(f"{name}::word()" for name in needs)])
    return {
        "Cargo.toml": crate(NAME, "0.1.0", f"[dependencies]\n{wanted}{more}"),
        "Cargo.lock": lock(locked(NAME, "0.1.0", *needs, source=""), *(one.locked for one in crates)),
        "src/main.rs": f'fn main() {{ println!("{{}}", {said}); }}\n',
    }


ONE = project(BARK, needs=("bark",))
OTHER = project(LEAF, PANE, TWIG, needs=("twig",))
BOTH = project(BARK, LEAF, PANE, TWIG, needs=("bark", "twig"))
FAST = "[profile.release]\nopt-level = 1\n"
"""Another layer of the same packages."""


@dataclass(frozen=True)
class Yard:
    shop: Workshop
    registry: SparseRegistry

    async def build(self, files: Files, scope: str) -> Built:
        """Over nothing that an earlier build left but what it fetched; in a scope of the test's own."""
        await self.shop.store._database.write(lambda tables: tables.execute("DELETE FROM layers"))
        await self.shop.forget_results()
        return await self.shop.build(files, scope=scope, lineage=str(Digest.of(repr(files).encode())))


@pytest.fixture(scope="module")
def registry() -> Iterator[SparseRegistry]:
    with served(LEAF, BARK, PANE, TWIG) as registry:
        yield registry


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def yard(
    tmp_path_factory: pytest.TempPathFactory,
    toolchain_facts: tuple[str, bytes],
    leftovers: Leftovers,
    registry: SparseRegistry,
) -> AsyncIterator[Yard]:
    network = NetworkConfig(
        mode=FetchNetwork.HOST, http_proxy="none", https_proxy="none", mirrors={"crates-io": registry.index}
    )
    place = tmp_path_factory.mktemp("fetched")
    async with workshop(place, toolchain_facts, leftovers.images, network) as shop:
        leftovers.instances.add(shop.store.instance)
        yield Yard(shop, registry)


async def test_one_dependency_more_is_one_download_and_all_known_is_no_request_at_all(yard: Yard):
    await yard.build(OTHER, "more")
    assert yard.registry.downloads() == ["leaf 1.0.0", "twig 1.0.0"], "pane is for another platform"

    both = await yard.build(BOTH, "more")
    assert yard.registry.downloads() == ["bark 1.0.0"]
    assert both.prints() == "bark-1.0.0.leaf-1.0.0.twig-1.0.0."

    one = await yard.build(ONE, "more")
    assert yard.registry.asked() == [], "put together of what the other locks brought"
    assert one.prints() == "bark-1.0.0."

    again = await yard.build({**BOTH, "Cargo.toml": str(BOTH["Cargo.toml"]) + FAST}, "more")
    assert yard.registry.asked() == []
    assert again.prints() == both.prints()


async def test_two_locks_make_a_third(yard: Yard):
    await yard.build(OTHER, "third")
    await yard.build(ONE, "third")
    yard.registry.asked()

    both = await yard.build(BOTH, "third")

    assert yard.registry.asked() == []
    assert both.prints() == "bark-1.0.0.leaf-1.0.0.twig-1.0.0."


async def test_an_archive_that_is_lost_is_downloaded_again(yard: Yard):
    await yard.build(BOTH, "lost")
    yard.registry.asked()
    yard.shop.store.blobs.remove(Digest(BARK.checksum))

    await yard.build(ONE, "lost")

    assert yard.registry.downloads() == ["bark 1.0.0"]


async def test_another_scope_shares_nothing(yard: Yard):
    """Law 7."""
    await yard.build(ONE, "ours")
    yard.registry.asked()

    await yard.build(ONE, "theirs")

    assert yard.registry.downloads() == ["bark 1.0.0"]


async def test_a_version_that_the_kept_entry_lacks_is_fetched(yard: Yard):
    await yard.build(OTHER, "newer")
    yard.registry.asked()
    yard.registry.crates.append(NEWER)

    newer = await yard.build(project(NEWER, PANE, TWIG, needs=("twig",)), "newer")

    yard.registry.crates.remove(NEWER)
    assert yard.registry.downloads() == ["leaf 1.1.0"]
    assert newer.prints() == "leaf-1.1.0.twig-1.0.0."


async def test_an_entry_that_is_damaged_on_disk_is_fetched_by_the_next_attempt(yard: Yard):
    await yard.build(BOTH, "damaged")
    (bark,) = [package for name, package in (await kept(yard, "damaged")).items() if name.startswith("bark ")]
    entry = next(file for file in bark.fetched.files if file.path.endswith("/bark"))
    path = yard.shop.store.blobs.path(Digest.parse(entry.digest))
    path.write_bytes(b"\x03" * path.stat().st_size)
    yard.registry.asked()
    await yard.shop.forget_results()

    failed = await yard.shop.attempt(ONE, scope="damaged", lineage="damaged")
    built = await yard.build(ONE, "damaged")

    assert failed.build.failure is not None
    assert failed.build.failure.kind == StoredFileDamaged.kind
    assert yard.registry.downloads() == ["bark 1.0.0"]
    assert built.prints() == "bark-1.0.0."


async def test_a_cook_that_misses_what_was_thought_another_platforms_makes_all_of_it_fetched(yard: Yard):
    """Law 9."""
    await yard.build(OTHER, "misses")
    await yard.build(ONE, "misses")
    packages = await kept(yard, "misses")
    (leaf,) = [name for name in packages if name.startswith("leaf ")]
    (twig,) = [name for name in packages if name.startswith("twig ")]
    files = tuple(file for file in packages[leaf].fetched.files if not file.path.endswith(".crate"))
    wrong = KeptPackage(fetched=Fetched(files=files), unwanted_by=(twig,))
    await yard.shop.store.keep_packages(await place(yard, "misses"), {leaf: msgspec.json.encode(wrong)})
    yard.registry.asked()

    built = await yard.build(BOTH, "misses")

    assert yard.registry.downloads() == ["bark 1.0.0", "leaf 1.0.0", "twig 1.0.0"]
    assert built.prints() == "bark-1.0.0.leaf-1.0.0.twig-1.0.0."
    await yard.build({**BOTH, "Cargo.toml": str(BOTH["Cargo.toml"]) + FAST}, "misses")
    assert yard.registry.asked() == [], "and it is remembered"


async def test_git_sources_that_are_here_are_put_beside_what_is_fetched(yard: Yard, tmp_path: Path):
    server = GitServer(tmp_path)
    revision = server.publish("world")
    source = f"git+{server.url}?branch=main#{revision}"
    git = (
        locked("greeting", "0.1.0", "words", source=source),
        locked("words", "0.2.0", source=source),
    )

    def files(*crates: Crate) -> Files:
        needs = ("greeting", *(one.name for one in crates))
        more = f'greeting = {{ git = "{server.url}", branch = "main" }}\n'
        base = project(*crates, needs=tuple(one.name for one in crates), more=more)
        return {
            **base,
            "Cargo.lock": lock(locked(NAME, "0.1.0", *needs, source=""), *git, *(one.locked for one in crates)),
            "src/main.rs": str(base["src/main.rs"]).replace("String::new()", "greeting::greeting()"),
        }

    await yard.build(files(BARK), "git")
    server.end()
    yard.registry.asked()

    built = await yard.build(files(BARK, LEAF), "git")

    assert yard.registry.downloads() == ["leaf 1.0.0"], "and nothing of the server, which is gone"
    assert built.prints() == "hello, worldbark-1.0.0.leaf-1.0.0."


async def place(yard: Yard, scope: str) -> Digest:
    """Where the packages of a scope are kept."""
    plan: Any = yard.shop.daemon.runner._runner._plan
    request = BuildRequest(tree=str(await yard.shop.tree(ONE)), scope=scope)
    project = await plan.plan(await plan.source(request))
    found: Digest = project.keeping.wanted().place
    return found


async def kept(yard: Yard, scope: str) -> dict[str, KeptPackage]:
    where = str(await place(yard, scope))
    sql = "SELECT name, value FROM kept_packages WHERE place = ?"
    rows = await yard.shop.store._database.read(lambda tables: tables.execute(sql, [where]).fetchall())
    return {name: msgspec.json.decode(value, type=KeptPackage) for name, value in rows}
