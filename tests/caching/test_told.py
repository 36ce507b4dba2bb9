"""`bloomery explain` on changes that a person makes: it says what a person would say.

One project is built once, so that a result, a workspace, a layer and units are there. Each change is only asked about.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio

from tests.caching.workshop import Workshop, workshop
from tests.conftest import Leftovers
from tests.fakes.crates import Files, lock, manifest
from tests.fakes.workshop import Offered

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

NAME = "bloomery-e2e-teller"
FIRST = ("itoa 1.0.18", "quote 1.0.47", "proc-macro2 1.0.107", "unicode-ident 1.0.18")
WANTED = '[dependencies]\nitoa = "1"\nquote = "1"\nwords = { path = "words" }\n[features]\nloud = []\n'


def teller(*packages: str, version: str = "0.1.0", wanted: str = WANTED) -> Files:
    """A program with a library of its own, which depends on these packages."""
    direct = [name for name in ("cfg-if", "itoa", "quote") if f"{name} =" in wanted]
    return {
        "Cargo.toml": f"[workspace]\n{manifest(NAME, wanted, version=version)}",
        "Cargo.lock": lock({NAME: [*direct, "words"], "words": []}, *packages, versions={NAME: version}),
        "src/main.rs": 'fn main() { println!("{}", words::first()); }\n',
        "words/Cargo.toml": manifest("words"),
        "words/src/lib.rs": "pub fn first() -> u32 { 1 }\n",
    }


PROJECT = teller(*FIRST)
HEADS = [f"project {NAME}", "with    rust, toolchain stable", f"image   {NAME}"]
AS_LAYER = ["why not observed   for the same reason as layer", "why not workspace  for the same reason as layer"]
AS_UNITS = [f"why not {rung:<10} for the same reason as units" for rung in ("observed", "workspace")]
SEEN = "why not observed   something has changed that the builds have seen"

GONE = "- itoa 1.0.18; - proc-macro2 1.0.107; - quote 1.0.47; - unicode-ident 1.0.18"
NOT_STORED = "no dependency was compiled here before with this toolchain, these flags and this profile"


@dataclass(frozen=True)
class Change:
    """What a person did, and what is said of it."""

    says: list[str]
    files: Files = field(default_factory=lambda: PROJECT)
    request: dict[str, Any] = field(default_factory=dict)


CHANGES = {
    "nothing": Change(["reuse   result     the image itself, N saved"]),
    "an edit": Change(
        [
            "reuse   workspace  4 of 4 dependencies, N saved",
            "why not result     src/main.rs changed",
            SEEN,
            "compile 1 member                      expected N, cold N",
        ],
        {**PROJECT, "src/main.rs": 'fn main() { println!("again {}", words::first()); }\n'},
    ),
    "its own version": Change(
        [
            "reuse   workspace  4 of 4 dependencies, N saved",
            "why not result     2 files changed: ~ Cargo.lock; ~ Cargo.toml",
            SEEN,
            "compile 2 members                     expected N, cold N",
        ],
        teller(*FIRST, version="0.2.0"),
    ),
    "a dependency added": Change(
        [
            "reuse   workspace  4 of 5 dependencies, N saved",
            "why not result     2 files changed: ~ Cargo.lock; ~ Cargo.toml",
            "why not observed   Cargo.lock changed: + cfg-if 1.0.5",
            '                   Cargo.toml changed: + dependencies.cfg-if = "1"',
            "compile 1 dependency, 2 members       expected N, cold N",
        ],
        teller(*FIRST, "cfg-if 1.0.5", wanted=WANTED.replace("itoa =", 'cfg-if = "1"\nitoa =')),
    ),
    "a dependency updated": Change(
        [
            "reuse   workspace  1 of 4 dependencies, N saved",
            "why not result     Cargo.lock changed",
            "why not observed   Cargo.lock changed: ~ unicode-ident 1.0.18 -> 1.0.27",
            "compile 3 dependencies, 2 members     expected N, cold N",
        ],
        teller(*FIRST[:3], "unicode-ident 1.0.27"),
    ),
    "a dependency removed": Change(
        [
            "reuse   workspace  3 of 3 dependencies, N saved",
            "why not result     2 files changed: ~ Cargo.lock; ~ Cargo.toml",
            "why not observed   Cargo.lock changed: - itoa 1.0.18",
            "                   Cargo.toml changed: - dependencies.itoa",
            "compile 2 members                     expected N, cold N",
        ],
        teller(*FIRST[1:], wanted=WANTED.replace('itoa = "1"\n', "")),
    ),
    "a feature": Change(
        [
            "reuse   workspace  4 of 4 dependencies, N saved",
            "why not result     for the same reason as observed",
            "why not observed   features: (none) -> loud",
            "compile 2 members                     expected N, cold N",
        ],
        request={"features": ("loud",)},
    ),
    "flags": Change(
        [
            "reuse   none       none of 4 dependencies",
            "why not result     .cargo/config.toml is new",
            *AS_UNITS,
            "why not layer      for the same reason as units",
            "why not units      RUSTFLAGS: (none) -> -C debuginfo=1",
            "compile 4 dependencies, 2 members     expected N, cold N",
        ],
        {**PROJECT, ".cargo/config.toml": '[build]\nrustflags = ["-C", "debuginfo=1"]\n'},
    ),
    "a manifest written otherwise": Change(
        [
            "reuse   workspace  4 of 4 dependencies, N saved",
            "why not result     Cargo.toml changed",
            SEEN,
            "compile 2 members                     expected N, cold N",
        ],
        teller(*FIRST, wanted=WANTED.replace("[dependencies]", "# What it needs.\n\n[dependencies]")),
    ),
    "a new branch": Change(
        ["reuse   result     the image itself, N saved"],
        request={"lineage": "fix-login"},
    ),
    "an edit on a new branch": Change(
        [
            "reuse   workspace  4 of 4 dependencies, copied from `main`, N saved",
            "why not result     this lineage has no earlier build",
            "why not observed   this lineage has no earlier build",
            "compile 1 member                      expected N, cold N",
        ],
        {**PROJECT, "src/main.rs": 'fn main() { println!("branch {}", words::first()); }\n'},
        {"lineage": "fix-login"},
    ),
    "a profile": Change(
        [
            "reuse   none       none of 4 dependencies",
            "why not result     for the same reason as layer",
            *AS_LAYER,
            "why not layer      profile: release -> dev",
            f"why not units      {NOT_STORED}",
            "compile 4 dependencies, 2 members     expected N, cold N",
        ],
        request={"profile": "dev"},
    ),
    "no lock": Change(
        [
            "reuse   none       nothing",
            "why not result     Cargo.lock is gone",
            *AS_LAYER,
            f"why not layer      Cargo.lock changed: {GONE}",
            "note    There is no lock: a build makes one first, and its dependencies are not known before.",
        ],
        {path: text for path, text in PROJECT.items() if path != "Cargo.lock"},
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(
    tmp_path_factory: pytest.TempPathFactory, toolchain_facts: tuple[str, bytes], leftovers: Leftovers
) -> AsyncIterator[Workshop]:
    """A daemon that has built the project and brought in its units."""
    async with workshop(tmp_path_factory.mktemp("teller"), toolchain_facts, leftovers.images) as made:
        leftovers.instances.add(made.store.instance)
        await made.build(PROJECT)
        await made.idle()
        yield made


def masked(lines: list[str]) -> list[str]:
    """Without seconds, which differ from run to run."""
    return [re.sub(r"\d[\d.]* m \d\d s|\d[\d.]* m?s\b", "N", line) for line in lines]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_change_is_told_as_a_person_would_tell_it(shop: Workshop, change: Change):
    assert masked(await shop.told(change.files, **change.request)) == [*HEADS, *change.says]


async def test_another_toolchain_is_told_as_a_person_would_tell_it(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    pipeline: Any = shop.daemon.runner._runner
    (stable,) = await shop.daemon.toolchains.offered()
    verbose = stable.facts.rustc_version_verbose
    newer = replace(stable.facts, image_id="sha256:" + "1" * 64, rustc_version_verbose="rustc 2.0.0 (of tomorrow)\n")
    monkeypatch.setattr(pipeline._plan, "_toolchains", Offered(replace(stable, facts=newer)))

    assert masked(await shop.told(PROJECT)) == [
        *HEADS,
        "reuse   none       none of 4 dependencies",
        "why not result     for the same reason as units",
        *AS_UNITS,
        "why not layer      for the same reason as units",
        f"why not units      toolchain: {verbose.splitlines()[0]} -> rustc 2.0.0 (of tomorrow)",
        "compile 4 dependencies, 2 members     expected N, cold N",
    ]
