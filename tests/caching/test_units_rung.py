"""The rung of units: a lock that no layer fits is cooked over what other locks compiled, and cargo compiles the rest.

Among the dependencies are one with a build script (proc-macro2), one that is a procedural macro and has one (paste),
and a chain of three (quote, proc-macro2, unicode-ident). The oracle is the clean build of the same tree: the image has
to be the same, digest for digest. The daemon is this module's own, so that what it has stored is known.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from cache.digest import Digest
from cache.reuse import Rung, WhyNot
from tests.caching.workshop import NOBODY, Built, Workshop, both, workshop
from tests.conftest import Leftovers
from tests.fakes.crates import FEATURED, Files, lock, manifest

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

NAME = "bloomery-e2e-grove"
OWN = f"{NAME} 0.1.0"
ITOA, PASTE, CFG_IF = "itoa 1.0.18", "paste 1.0.15", "cfg-if 1.0.5"
QUOTE, MACRO = "quote 1.0.47", "proc-macro2 1.0.107"
IDENT, BUMPED_IDENT = "unicode-ident 1.0.18", "unicode-ident 1.0.27"
FIRST = {ITOA, QUOTE, MACRO, IDENT}
SAYS = {
    "itoa": 'println!("{}", itoa::Buffer::new().format(7));',
    "quote": 'println!("{}", quote::quote!(a + b));',
    "paste": 'paste::paste! { fn [<said _once>]() { println!("pasted"); } said_once(); }',
    "cfg-if": 'cfg_if::cfg_if! { if #[cfg(unix)] { println!("unix"); } }',
}


def grove(*packages: str, optimised: int = 0, name: str = NAME) -> Files:
    """A program that uses these crates, of `FIRST` and those that are named."""
    direct = sorted(name for name in SAYS if any(package.startswith(f"{name} ") for package in packages))
    wanted = "".join(f'{name} = "1"\n' for name in direct)
    profile = f"[profile.release]\nopt-level = {optimised}\n"
    body = "".join(f"    {SAYS[name]}\n" for name in direct)
    return {
        "Cargo.toml": manifest(name, f"[dependencies]\n{wanted}{profile}"),
        "Cargo.lock": lock({name: direct}, *packages),
        "src/main.rs": f'fn main() {{\n    println!("grove");\n{body}}}\n',
    }


A = grove(*FIRST)
B = grove(*FIRST, PASTE)
C = grove(*FIRST, PASTE, CFG_IF)
SMALL = grove(ITOA)
FLAGGED = SMALL | {".cargo/config.toml": '[build]\nrustflags = ["-Cdebug-assertions"]\n'}
OPTIMISED = grove(ITOA, optimised=1)
BUMPED = grove(ITOA, QUOTE, MACRO, BUMPED_IDENT)
ORCHARD = "bloomery-e2e-orchard"
NAMESAKE = grove(*FIRST, PASTE, CFG_IF, name="bloomery-e2e-meadow")
"""`C` by another name."""
SECOND = grove(*FIRST, PASTE, CFG_IF, name=ORCHARD)
SECOND = SECOND | {"Cargo.toml": SECOND["Cargo.toml"] + FEATURED, "src/more.rs": "pub fn more() {}\n"}
"""Another project with the dependencies of `C`, and no layer that fits."""
CONDITIONS = {
    "of some targets": '[target."cfg(unix)".dependencies]\ncfg-if = "1"\n',
    "optional": '[dependencies.cfg-if]\nversion = "1"\noptional = true\n[features]\ndefault = ["cfg-if"]\n',
}
"""Ways to depend on a crate that say not before cargo runs whether it is wanted."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(
    tmp_path_factory: pytest.TempPathFactory, toolchain_facts: tuple[str, bytes], leftovers: Leftovers
) -> AsyncIterator[Workshop]:
    async with workshop(tmp_path_factory.mktemp("grove"), toolchain_facts, leftovers.images) as made:
        leftovers.instances.add(made.store.instance)
        yield made


@dataclass(frozen=True)
class Grown:
    """Three locks, one after another, each harvested before the next is built, and a clean build of the third."""

    first: Built
    second: Built
    third: Built
    clean: Built


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def grown(shop: Workshop) -> Grown:
    first, clean = await both(shop.build(A), shop.clean(C))
    await shop.idle()
    second = await shop.build(B, lineage="second")
    await shop.idle()
    third = await shop.build(C, lineage="third")
    await shop.idle()
    return Grown(first, second, third, clean)


async def blobs(shop: Workshop, name: str) -> list[Path]:
    """Where the units of a package are kept."""
    query = "SELECT blob FROM units WHERE name = ? AND scope = 'default'"
    rows = await shop.store._database.read(lambda tables: tables.execute(query, (name,)).fetchall())
    return [shop.store.blobs.path(Digest.parse(blob)) for (blob,) in rows]


async def over_units(shop: Workshop, files: Files, lineage: str, **request: object) -> Built:
    """Built where only units can be of use: no workspace, no result and no layer is there."""
    await shop.forget_results()
    await shop.store._database.write(lambda tables: tables.execute("DELETE FROM layers"))
    return await shop.build(files, lineage=lineage, parent=NOBODY, **request)


async def test_the_first_lock_finds_nothing_stored(grown: Grown):
    assert (grown.first.rung, grown.first.why_not(Rung.UNITS)) == (Rung.NONE, WhyNot.NOT_STORED)
    assert grown.first.compiled == {*FIRST, OWN}


async def test_a_lock_with_one_dependency_more_compiles_it_and_its_members(grown: Grown):
    assert (grown.second.rung, grown.second.compiled) == (Rung.UNITS, {PASTE, OWN})
    assert grown.second.report.reused == len(FIRST)
    assert grown.second.why_not(Rung.LAYER) is WhyNot.KEY_CHANGED
    assert grown.second.report.seconds_saved > 0


async def test_units_of_two_cooks_a_macro_and_build_scripts_among_them_make_the_clean_image(grown: Grown):
    assert (grown.third.rung, grown.third.compiled) == (Rung.UNITS, {CFG_IF, OWN})
    assert grown.third.report.reused == len(FIRST) + 1
    assert grown.third.digest == grown.clean.digest
    assert grown.third.prints().split() == ["grove", "unix", "7", "pasted", "a", "+", "b"]


async def test_back_to_the_first_lock_nothing_but_members_is_compiled(shop: Workshop, grown: Grown):
    again = await over_units(shop, A, "back")
    assert (again.rung, again.compiled, again.digest) == (Rung.UNITS, {OWN}, grown.first.digest)


async def test_a_crate_that_is_bumped_is_compiled_with_all_that_stands_on_it_and_nothing_else(shop: Workshop):
    bumped, clean = await both(shop.build(BUMPED, lineage="bumped", parent=NOBODY), shop.clean(BUMPED))
    assert (bumped.rung, bumped.compiled) == (Rung.UNITS, {BUMPED_IDENT, MACRO, QUOTE, OWN})
    assert bumped.report.reused == 1
    assert bumped.digest == clean.digest


@pytest.mark.parametrize(
    ("files", "why"),
    [(FLAGGED, WhyNot.KEY_CHANGED), (OPTIMISED, WhyNot.NOT_STORED)],
    ids=["other flags", "another profile"],
)
async def test_what_was_compiled_otherwise_is_of_no_use(shop: Workshop, files: Files, why: WhyNot):
    """The negative control: were units taken for fresh whatever they were made with, this would tell."""
    other, clean = await both(shop.build(files, lineage="other", parent=NOBODY), shop.clean(files))
    assert (other.rung, other.why_not(Rung.UNITS)) == (Rung.NONE, why)
    assert other.compiled == {ITOA, OWN}
    assert other.digest == clean.digest


async def test_law_7_another_scope_is_given_none(shop: Workshop):
    stranger, known = await both(shop.build(SMALL, scope="stranger"), shop.build(SMALL, lineage="known", parent=NOBODY))
    assert (known.rung, known.compiled) == (Rung.UNITS, {OWN})
    assert (stranger.rung, stranger.why_not(Rung.UNITS)) == (Rung.NONE, WhyNot.NOT_STORED)
    assert stranger.compiled == {ITOA, OWN}
    assert stranger.digest == known.digest


async def test_a_project_that_differs_in_its_name_alone_stands_on_the_same_layer(shop: Workshop):
    await shop.forget_results()
    await shop.build(C, lineage="with a layer", parent=NOBODY)
    await shop.idle()
    namesake, clean = await both(shop.build(NAMESAKE), shop.clean(NAMESAKE))
    assert (namesake.rung, namesake.compiled) == (Rung.LAYER, {"bloomery-e2e-meadow 0.1.0"})
    assert namesake.digest == clean.digest


async def test_a_second_project_compiles_its_own_alone_and_its_layer_comes_behind_the_answer(
    shop: Workshop, grown: Grown
):
    second, clean = await both(shop.build(SECOND), shop.clean(SECOND))
    assert (second.rung, second.compiled) == (Rung.UNITS, {f"{ORCHARD} 0.1.0"})
    assert second.report.reused == len(FIRST) + 2
    assert second.report.seconds_saved > 0
    assert second.digest == clean.digest
    assert await shop.store.latest_layer("default", ORCHARD) is None

    await shop.idle()

    assert (await shop.layer(second)).image_id
    third = await shop.build(SECOND | {"src/main.rs": grove()["src/main.rs"]}, project="bloomery-e2e-third")
    assert (third.rung, third.compiled) == (Rung.LAYER, {f"{ORCHARD} 0.1.0"})


@pytest.mark.parametrize("how", CONDITIONS)
async def test_what_nobody_expected_to_be_missing_is_compiled(shop: Workshop, how: str):
    """Only itoa is stored in this scope; the manifest does not say that cfg-if is wanted here."""
    scope = f"expecting {how}"
    await shop.build(SMALL, scope=scope)
    await shop.idle()
    wanted = manifest(NAME, '[dependencies]\nitoa = "1"\n[profile.release]\nopt-level = 0\n' + CONDITIONS[how])
    files = grove(ITOA, CFG_IF) | {"Cargo.toml": wanted}

    built, clean = await both(shop.build(files, scope=scope, lineage="wanting"), shop.clean(files))

    assert (built.rung, built.compiled) == (Rung.UNITS, {CFG_IF, OWN})
    assert built.digest == clean.digest
    assert await shop.stored("cfg-if", scope) == {}
    await shop.idle()
    assert (await shop.stored("cfg-if", scope)).keys() <= (await shop.stored("cfg-if")).keys()
    assert await shop.stored("cfg-if", scope)


async def test_law_9_bad_units_are_told_of_and_compiled_again_and_the_next_cook_has_them(shop: Workshop, grown: Grown):
    """The last test: it damages what the others stand on."""
    for itoa in await blobs(shop, "itoa"):
        content = bytearray(itoa.read_bytes())
        content[len(content) // 2] ^= 1
        itoa.write_bytes(content)
    for cfg_if in await blobs(shop, "cfg-if"):
        cfg_if.unlink()

    mended = await over_units(shop, C, "mended")

    assert (mended.rung, mended.compiled) == (Rung.UNITS, {ITOA, CFG_IF, OWN})
    assert mended.digest == grown.clean.digest
    told = [event async for event in shop.daemon.events.follow(mended.build.id, 0)]
    assert "stored units were damaged or gone; they are compiled again." in str(told)
    await shop.idle()
    again = await over_units(shop, C, "again")
    assert (again.rung, again.compiled, again.digest) == (Rung.UNITS, {OWN}, grown.clean.digest)
