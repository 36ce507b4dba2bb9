"""The laws of the workspace, each broken on purpose: a case that holds otherwise has to fail, and to name the law.

A mutation is a change of the code while it runs; a lineage of its own keeps what it makes apart. `test_workspace.py`
says the same of many more cases.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from cache.observed import noticed
from cache.reuse import Rung
from daemon.ecosystems.rust import compiling, dirtiness, steps
from daemon.ecosystems.rust import members as members_module
from daemon.ecosystems.rust.compiling import RustCompiling
from daemon.ecosystems.rust.dirtiness import Dirt
from daemon.ecosystems.rust.marks_v1 import MarksV1
from daemon.ecosystems.step import SOURCE_TIME
from daemon.pipeline import fork, observed
from daemon.pipeline.copying import Artefacts
from daemon.pipeline.workspaces import Workspaces
from tests.caching.mill import MILL, SAYS, Mill, members, modified, replaced
from tests.caching.workshop import Workshop

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

Patch = pytest.MonkeyPatch
GONE = "grain/src/gone.rs"


async def edit(mill: Mill, lineage: str) -> None:
    await mill.at(MILL, lineage)
    built = await mill.build(modified(MILL, replaced(GONE, '"gone"', '"back"')), lineage=lineage)
    assert built.prints() == SAYS.replace("gone", "back"), "law 5: a stale binary"
    assert built.rung is Rung.WORKSPACE, "law 5: cargo did not learn what is dirty"


async def opened(mill: Mill, lineage: str) -> None:
    await mill.at(MILL, lineage)
    built = await mill.build(modified(MILL, {"opened.txt": "closed"}), lineage=lineage)
    assert built.prints() == SAYS.replace("opened", "closed"), "law 5: what a macro opened is stale"


async def removed(mill: Mill, lineage: str) -> None:
    await mill.at(modified(MILL, {"grain/extra": ""}), lineage)
    assert (await mill.build(MILL, lineage=lineage)).prints() == SAYS, "law 5: a file is there that is gone"


async def repeated(mill: Mill, lineage: str) -> None:
    await mill.at(MILL, lineage)
    built = await mill.build(MILL, lineage=lineage)
    assert built.compiled == set(), "law 1: time made a member dirty"


async def tampered(mill: Mill, lineage: str) -> None:
    await mill.at(MILL, lineage)
    workspace = await mill.workspace(lineage)
    await mill.shop.run_behind_our_back(workspace, f"echo 'pub const WORD: &str = \"spoilt\";' > /work/{GONE}")
    built = await mill.build(modified(MILL, replaced("app/src/main.rs", '"."', '","')), lineage=lineage)
    assert built.prints() == f"{SAYS[:-1]},", "law 9: what somebody else has run was used"


async def branched(mill: Mill, lineage: str) -> None:
    await mill.at(MILL)
    built = await mill.build(modified(MILL, replaced(GONE, '"gone"', '"back"')), lineage=lineage, parent="main")
    assert built.prints() == SAYS.replace("gone", "back"), "law 5: a stale binary"
    assert built.report.forked_from == "main", "law 5: cargo did not learn what is dirty"


async def copied(mill: Mill, lineage: str) -> None:
    await mill.at(MILL)
    built = await mill.build(MILL, lineage=lineage, parent="main")
    assert built.report.forked_from == "main", "law 9: a workspace that is whole was not forked"
    assert built.compiled == set(), "law 1: a copy's times made a member dirty"


async def ran(mill: Mill, lineage: str) -> None:
    await mill.at(MILL, "ran")
    workspace = await mill.workspace("ran")
    spoil = "find /target -path '*/build/grain-*/output' -exec sed -i s/SIDE=side/SIDE=spoilt/ '{}' +"
    await mill.shop.run_behind_our_back(workspace, spoil)
    below = modified(MILL, replaced("grain/inner/src/lib.rs", '" "', '"-"'))  # compiles grain, and runs no script
    built = await mill.build(below, lineage=lineage, parent="ran")
    assert built.prints() == SAYS.replace("inside note", "inside-note"), "law 9: what somebody else has run was forked"


async def documented(mill: Mill, lineage: str) -> None:
    await mill.at(MILL, lineage)
    await mill.build(MILL, lineage=lineage)
    built = await mill.build(modified(MILL, {"README.md": "more"}), lineage=lineage)
    assert built.rung is Rung.OBSERVED, "law 13: documentation was opened"
    built = await mill.build(modified(MILL, {"opened.txt": "closed"}), lineage=lineage)
    assert built.prints() == SAYS.replace("opened", "closed"), "law 13: what a macro opened is stale"


def marks_are_not_made(patch: Patch) -> None:
    patch.setattr(MarksV1, "dirty", lambda *_: [])


def marks_are_not_made_and_nobody_asks(patch: Patch) -> None:
    marks_are_not_made(patch)
    patch.setattr(RustCompiling, "_refuse_fresh", lambda *_: None)


def mutated_dirt(patch: Patch, change: Callable[..., Dirt]) -> None:
    def dirty(before: Any, after: Any, ledger: Any, directories: Any, **more: Any) -> Dirt:
        return change(dirtiness.dirty(before, after, ledger, directories, **more), directories)

    patch.setattr(compiling, "dirty", dirty)


def only_its_own_member_is_marked(patch: Patch) -> None:
    def owners(dirt: Dirt, directories: Any) -> Dirt:
        own = {name for entry in dirt.put for name in dirtiness._owner(entry.path, directories)}
        return replace(dirt, packages=tuple(sorted(own)), dependents=())

    mutated_dirt(patch, owners)


def what_is_gone_is_not_taken_away(patch: Patch) -> None:
    mutated_dirt(patch, lambda dirt, _: replace(dirt, remove=()))


def artefacts_keep_their_times(patch: Patch) -> None:
    patch.setattr(steps, "stamp_lines", lambda *_: [])


def nobody_asks_whether_it_was_run(patch: Patch) -> None:
    async def sound(*_: object) -> bool:
        return True

    patch.setattr(Workspaces, "_is_sound", sound)


def copies_are_older_than_their_sources(patch: Patch) -> None:
    patch.setattr(fork, "Artefacts", lambda **said: Artefacts(**{**said, "time": SOURCE_TIME - 1}))


def nobody_asks_whether_a_parent_was_run(patch: Patch) -> None:
    async def sound(self: Workspaces, record: Any) -> Any:
        return await self._states.sandbox(record.sandbox)

    patch.setattr(Workspaces, "_sound", sound)


def what_was_opened_does_not_count(patch: Patch) -> None:
    patch.setattr(observed, "noticed", lambda before, after, _: noticed(before, after, frozenset()))


def nothing_looks_read(patch: Patch) -> None:
    patch.setattr(compiling, "opened", lambda *_, before, **__: before)


def sources_are_put_with_another_access_time(patch: Patch) -> None:
    patch.setattr(members_module, "UNREAD_TIME", SOURCE_TIME)


@dataclass(frozen=True)
class Mutation:
    """How a law is broken, and the witness that must say so."""

    law: int
    apply: Callable[[Patch], None]
    witness: Callable[[Mill, str], Awaitable[None]]


MUTATIONS = (
    Mutation(5, marks_are_not_made, edit),
    Mutation(5, marks_are_not_made_and_nobody_asks, edit),
    Mutation(5, only_its_own_member_is_marked, opened),
    Mutation(5, what_is_gone_is_not_taken_away, removed),
    Mutation(1, artefacts_keep_their_times, repeated),
    Mutation(13, what_was_opened_does_not_count, documented),
    Mutation(13, nothing_looks_read, documented),
    Mutation(13, sources_are_put_with_another_access_time, documented),
    Mutation(9, nobody_asks_whether_it_was_run, tampered),
    Mutation(5, marks_are_not_made, branched),
    Mutation(5, marks_are_not_made_and_nobody_asks, branched),
    Mutation(1, copies_are_older_than_their_sources, copied),
    Mutation(9, nobody_asks_whether_a_parent_was_run, ran),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mill(shop: Workshop) -> Mill:
    """With the layer that all lineages stand on."""
    made = Mill(shop, "mutations")
    assert (await made.build(MILL)).compiled >= members()
    return made


WITNESSES = (edit, opened, removed, repeated, tampered, branched, copied, ran, documented)


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda one: one.__name__)
async def test_without_a_mutation_the_witness_is_content(mill: Mill, witness: Callable[..., Awaitable[None]]):
    await witness(mill, f"control-{witness.__name__}")


@pytest.mark.parametrize(
    "mutation", MUTATIONS, ids=lambda mutation: f"{mutation.apply.__name__}-{mutation.witness.__name__}"
)
async def test_a_broken_law_is_noticed(mill: Mill, monkeypatch: Patch, mutation: Mutation, told: Callable[..., None]):
    told(mutation.law, mutation.apply, mutation.witness)
    mutation.apply(monkeypatch)
    with pytest.raises(AssertionError, match=f"law {mutation.law}:"):
        await mutation.witness(mill, f"{mutation.apply.__name__}-{mutation.witness.__name__}")
