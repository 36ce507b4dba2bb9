"""A new branch's first build, on the real engine with the real cargo: it goes on from a copy of its parent's workspace.

The parent is `main`, whose last compile is the mill as it is. The oracle is the clean build of the same tree; exactly
what differs from the parent's tree is compiled; and the parent is afterwards what it was.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable

import pytest
import pytest_asyncio

from cache.reuse import Rung, WhyNot
from cache.workspaces import WorkspaceRecord
from daemon.pipeline import fork
from daemon.pipeline.copying import Artefacts, copied
from tests.caching.mill import MILL, Mill, members, modified, replaced
from tests.caching.test_workspace import CASES, grain_script
from tests.caching.workshop import NOBODY, Built, Workshop, both
from tests.fakes.crates import Files, lock, manifest
from tests.fakes.docker import docker

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

FORKED = (
    "the program is edited",
    "a library deep below is edited",
    "a procedural macro is edited",
    "a member's README",
    "the program's version is bumped",
    "a binary is renamed",
    "a module is deleted",
    "a module is added",
    "a module moves into a directory",
    "a silent build script is edited",
    "a build script that declares is edited",
    "a file that a build script declares",
    "a file that its own package includes",
    "a file of no package that one includes",
    "a file that a procedural macro opens",
    "the executable bit",
    "a link leads elsewhere",
    "the compile's environment",
)
EDITED = modified(MILL, CASES["the program is edited"].change)
numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mill(shop: Workshop) -> Mill:
    """The chain with its first build, which is cold."""
    made = Mill(shop, "forks")
    made.cold["app"] = await made.build(MILL)
    return made


async def forked(mill: Mill, files: Files, binary: str = "app") -> Built:
    """The first build of a new branch of `main`."""
    await mill.shop.forget_results()
    built = await mill.build(files, binary, lineage=f"branch-{next(numbers)}", parent="main")
    assert (built.rung, built.report.forked_from) == (Rung.WORKSPACE, "main"), built.report.refusals
    return built


async def not_forked(mill: Mill, files: Files, why: WhyNot) -> Built:
    """The same where `main` cannot be forked: right, from the layer, and it says so."""
    await mill.shop.forget_results()
    built, clean = await both(mill.build(files, lineage=f"branch-{next(numbers)}", parent="main"), mill.oracle(files))
    assert (built.rung, built.report.forked_from, built.digest) == (Rung.LAYER, None, clean.digest)
    refused = built.refusal(Rung.WORKSPACE)
    assert (refused.why, refused.parent) == (why, "main")
    return built


async def test_a_branch_without_a_change_compiles_nothing(mill: Mill):
    await mill.at(MILL)
    built = await forked(mill, MILL)
    assert (built.compiled, built.digest) == (set(), mill.cold["app"].digest)


@pytest.mark.parametrize("name", FORKED)
async def test_law_5_what_a_branch_changes_is_compiled_and_nothing_else(mill: Mill, name: str):
    case = CASES[name]
    files = modified(MILL, case.change)
    await mill.at(MILL)
    built, clean = await both(forked(mill, files, case.binary), mill.oracle(files, case.binary))
    assert built.compiled == members(*case.compiled, app=case.version)
    assert built.digest == clean.digest
    assert (built.digest != mill.cold["app"].digest) is case.changes_image


async def test_law_1_every_artefact_of_a_fork_has_the_one_time_of_its_parents(mill: Mill):
    await mill.at(MILL)
    built = await forked(mill, EDITED)
    own, parent = await mill.workspace(built.build.request.lineage), await mill.workspace()
    times = [set((await mill.shop.artefacts(each)).values()) for each in (own, parent)]
    assert times[0] == times[1]


async def test_the_parent_is_what_it_was_and_gives_what_it_gave(mill: Mill):
    await mill.at(MILL)
    before = await mill.workspace()
    await forked(mill, modified(MILL, CASES["a procedural macro is edited"].change))
    assert await mill.workspace() == before
    await mill.shop.forget_results()
    again = await mill.build(MILL)
    assert (again.rung, again.compiled, again.digest) == (Rung.WORKSPACE, set(), mill.cold["app"].digest)


async def test_parent_and_branch_go_on_apart(mill: Mill):
    """The parent is edited after the fork, and the branch built again: neither has anything of the other."""
    await mill.at(MILL)
    branch = (await forked(mill, EDITED)).build.request.lineage
    deep = modified(MILL, CASES["a library deep below is edited"].change)
    macro = modified(EDITED, CASES["a procedural macro is edited"].change)
    (main, main_clean) = await both(mill.build(deep), mill.oracle(deep))
    (own, own_clean) = await both(mill.build(macro, lineage=branch), mill.oracle(macro))
    assert (main.rung, main.compiled, main.digest) == (
        Rung.WORKSPACE, members("inner", "grain", "app"), main_clean.digest,
    )  # fmt: skip
    assert (own.rung, own.report.forked_from, own.compiled) == (Rung.WORKSPACE, None, members("macros", "app"))
    assert own.digest == own_clean.digest


async def test_a_fork_of_a_fork(mill: Mill):
    await mill.at(MILL)
    first = (await forked(mill, EDITED)).build.request.lineage
    twice = modified(EDITED, CASES["a module is edited"].change)
    built, clean = await both(mill.build(twice, lineage=f"branch-{next(numbers)}", parent=first), mill.oracle(twice))
    assert (built.report.forked_from, built.compiled) == (first, members("grain", "app"))
    assert built.digest == clean.digest


async def test_what_does_not_compile_on_a_branch_is_mended_where_it_was(mill: Mill):
    await mill.at(MILL)
    await mill.shop.forget_results()
    branch = f"branch-{next(numbers)}"
    broken = modified(MILL, replaced("grain/src/gone.rs", '"gone"', "nowhere"))
    assert await mill.fails(broken, lineage=branch) == "compile_failed"
    mended = modified(MILL, replaced("grain/src/gone.rs", '"gone"', '"mended"'))
    built, clean = await both(mill.build(mended, lineage=branch), mill.oracle(mended))
    assert (built.rung, built.report.forked_from) == (Rung.WORKSPACE, None)
    assert (built.compiled, built.digest) == (members("grain", "app"), clean.digest)


async def test_what_a_parent_s_build_left_in_its_sources_is_not_in_the_fork(mill: Mill):
    writes = grain_script(
        'let had = fs::read_to_string("made.txt").unwrap_or_default(); fs::write("made.txt", "x").unwrap();',
        'fs::write("side.txt", "spoilt").unwrap(); let word = format!("<{had}>");',
    )
    base = modified(MILL, writes)
    await mill.at(base)
    built, clean = await both(forked(mill, modified(base, CASES["the program is edited"].change)),
                              mill.oracle(modified(base, CASES["the program is edited"].change)))  # fmt: skip
    assert (built.compiled, built.digest) == (members("app", "grain", "inner", "macros", "rows"), clean.digest)


LEAVES = {
    "a link out": 'std::os::unix::fs::symlink("/etc", &out).unwrap();',
    "a pipe": 'assert!(std::process::Command::new("mkfifo").arg(&out).status().unwrap().success());',
}


@pytest.mark.parametrize("leaves", LEAVES)
async def test_a_parent_that_leaves_what_no_artefact_is_cannot_be_forked(mill: Mill, leaves: str):
    out = 'let out = Path::new(&env::var("OUT_DIR").unwrap()).join("left");'
    base = modified(MILL, grain_script(out, "let _ = fs::remove_file(&out);", LEAVES[leaves], 'let word = "left";'))
    await mill.at(base)
    await not_forked(mill, modified(base, CASES["the program is edited"].change), WhyNot.DAMAGED)
    await mill.at(MILL)


async def test_law_9_a_parent_that_somebody_has_run_is_not_forked(mill: Mill):
    await mill.at(MILL)
    await mill.shop.run_behind_our_back(await mill.workspace(), "echo spoilt > /work/grain/src/gone.rs")
    await not_forked(mill, EDITED, WhyNot.DAMAGED)
    await mill.shop.store.forget_workspace((await mill.workspace()).sandbox)


async def test_law_9_a_parent_that_is_gone_is_a_slower_build(mill: Mill):
    await mill.at(MILL)
    docker("rm", "--force", (await mill.workspace()).sandbox)
    await not_forked(mill, EDITED, WhyNot.PRUNED)
    await mill.shop.store.forget_workspace((await mill.workspace()).sandbox)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[WorkspaceRecord, str], None]:
    """Something happens to a parent while it is copied; an engine lets nobody near it before all of it is read."""

    def interrupt(parent: WorkspaceRecord, *command: str) -> None:
        async def meddled(archive: AsyncGenerator[bytes, None], artefacts: Artefacts) -> AsyncGenerator[bytes, None]:
            async for piece in copied(archive, artefacts):
                yield piece
            await asyncio.to_thread(docker, *command, parent.sandbox)

        monkeypatch.setattr(fork, "copied", meddled)

    return interrupt


@pytest.mark.parametrize("command", [("rm", "--force"), ("start", "--attach")], ids=["removed", "run"])
async def test_law_9_a_parent_that_something_happens_to_during_the_copy_is_a_slower_build(
    mill: Mill, interrupted: Callable[..., None], command: tuple[str, ...]
):
    await mill.at(MILL)
    parent = await mill.workspace()
    interrupted(parent, *command)
    await mill.shop.forget_results()
    built, clean = await both(mill.build(EDITED, lineage=f"branch-{next(numbers)}", parent="main"), mill.oracle(EDITED))
    assert (built.rung, built.digest) == (Rung.LAYER, clean.digest)
    assert built.why_not(Rung.WORKSPACE) in {WhyNot.PRUNED, WhyNot.DAMAGED}
    await mill.shop.store.forget_workspace(parent.sandbox)


NAME = "bloomery-e2e-fork"
MAIN = 'fn main() { println!("{} {}", "main", itoa::Buffer::new().format(1)); }\n'
SHED: Files = {
    "Cargo.toml": manifest(NAME, '[dependencies]\nitoa = "1"\n'),
    "Cargo.lock": lock({NAME: ["itoa"]}, "itoa 1.0.18"),
    "src/main.rs": MAIN,
}
OTHER = SHED | {"src/main.rs": MAIN.replace('"main"', '"branch"')}


async def test_dependencies_are_the_layers_and_members_the_parents(shop: Workshop):
    await shop.build(SHED)
    branch, clean = await both(shop.build(OTHER, lineage="branch"), shop.clean(OTHER))
    assert (branch.rung, branch.report.forked_from) == (Rung.WORKSPACE, "main")
    assert (branch.compiled, branch.report.reused) == ({f"{NAME} 0.1.0"}, 1)
    assert branch.digest == clean.digest
    assert branch.prints() == "branch 1"
    await shop.forget_results()
    same = await shop.build(SHED, lineage="same")
    assert (same.rung, same.report.forked_from, same.compiled) == (Rung.WORKSPACE, "main", set())


async def test_another_lock_is_no_parent_and_the_report_names_what_differs(shop: Workshop):
    await shop.build(SHED)
    flagged = SHED | {"Cargo.toml": str(SHED["Cargo.toml"]) + "[profile.release]\nopt-level = 1\n"}
    built = await shop.build(flagged, lineage="flagged")
    refused = built.refusal(Rung.WORKSPACE)
    assert (refused.why, refused.parent, bool(refused.differences)) == (WhyNot.KEY_CHANGED, "main", True)


async def test_a_lineage_that_nobody_has_is_no_parent(shop: Workshop):
    await shop.build(SHED)
    built = await shop.build(SHED | {"README.md": "a\n"}, lineage="orphan", parent=NOBODY)
    assert (built.rung, built.refusal(Rung.WORKSPACE).parent) == (Rung.LAYER, NOBODY)
