"""Why not a higher rung, in the words that a person reads; the evidence is made by the daemon's own functions."""

import msgspec
import pytest

from api.client.reasons import refusals
from cache.comparing import difference, files_changed
from cache.differences import Difference, FilesChanged, Subject
from cache.forking import Weighed
from cache.reuse import Refusal, Rung, WhyNot

OLD_LOCK = "bytes 1.10.0 r aa\nslab 0.4.9 r bb\nsyn 1.0.0 r cc\nring 0.17.0 r dd\ngone 1.0.0 r ee\nmoved 1.0.0 r ff"
NEW_LOCK = (
    "bytes 1.12.1 r ab\nitoa 1.0.18 r ba\nsyn 1.0.0 r cc\nsyn 2.0.0 r cd\nring 0.17.0 r de\n"
    "moved 1.0.0 q ff\nslab 0.4.9 r bb"
)
LOCK_WORDS = (
    "+ itoa 1.0.18; + syn 2.0.0; ~ bytes 1.10.0 -> 1.12.1; ~ moved 1.0.0 (another source); "
    "~ ring 0.17.0 (another checksum); - gone 1.0.0"
)
MANIFEST = "manifest app/Cargo.toml"
CONFIGURATION = "cargo configuration"


def told(*given: Refusal) -> list[tuple[str, list[str]]]:
    return refusals({"refusals": msgspec.to_builtins(list(given))})


def words(*differences: Difference) -> list[str]:
    ((_, lines),) = told(Refusal(Rung.LAYER, WhyNot.KEY_CHANGED, differences))
    return lines


@pytest.mark.parametrize(
    ("subject", "label", "old", "new", "line"),
    [
        (Subject.SETTING, "features", "", "tls", "features: (none) -> tls"),
        (Subject.SETTING, "profile", None, "x" * 100, f"profile: (none) -> {'x' * 57}..."),
        (Subject.TOOLCHAIN, "rustc", "rustc 1.95.0\nx", "rustc 1.96.0\nx", "toolchain: rustc 1.95.0 -> rustc 1.96.0"),
        (
            Subject.TOOLCHAIN,
            "toolchain image",
            "sha256:1",
            "sha256:2",
            "the toolchain image is another one, with the same compiler",
        ),
        (Subject.ENVIRONMENT, "PATH", "/a", "/b", "PATH: /a -> /b"),
        (Subject.ENVIRONMENT, "CARGO_ENCODED_RUSTFLAGS", None, "-C\x1fx", "RUSTFLAGS: (none) -> -C x"),
        (
            Subject.PACKAGES,
            "Cargo.lock",
            OLD_LOCK,
            NEW_LOCK,
            f"Cargo.lock changed: {LOCK_WORDS}",
        ),
        (Subject.MANIFEST, MANIFEST, None, "{}", "app/Cargo.toml is new"),
        (Subject.MANIFEST, MANIFEST, "{}", None, "app/Cargo.toml is gone"),
        (Subject.MANIFEST, MANIFEST, "sha256:1", "{}", "app/Cargo.toml changed"),
        (
            Subject.MANIFEST,
            MANIFEST,
            '{"features": {"a": []}, "package": {"edition": "2021"}}',
            '{"dependencies": {"itoa": "1"}, "package": {"edition": "2024"}}',
            'app/Cargo.toml changed: + dependencies.itoa = "1"; - features.a; ~ package.edition "2021" -> "2024"',
        ),
        (
            Subject.CONFIGURATION,
            CONFIGURATION,
            '{"build": {"rustflags": ["-g"]}}',
            '{"build": {"rustflags": "-O -g"}}',
            "RUSTFLAGS: -g -> -O -g",
        ),
        (
            Subject.CONFIGURATION,
            CONFIGURATION,
            "{}",
            '{"target": {"cfg(unix)": {"rustflags": ["-g"]}}}',
            'cargo configuration changed: + target.cfg(unix) = {"rustflags": ["-g"]}',
        ),
        (Subject.CONFIGURATION, CONFIGURATION, "{}", '{"env": {"A": "x"}}', "cargo configuration changed: ~ env.A"),
        (Subject.FILES, "source tree", "sha256:1", "sha256:2", "the sources changed"),
        (Subject.FILES, "files by content", "a b 644", "a c 644", "a changed"),
        (Subject.WITHHELD, "image settings", '[{"a": 1}]', '[{"a": 2}]', "image settings changed: ~ a"),
        (Subject.WITHHELD, "Cargo.lock choices", "a -> b 1 r", "a -> b 2 r", "Cargo.lock choices changed"),
    ],
)
def test_each_difference_has_its_words(subject: Subject, label: str, old: str | None, new: str | None, line: str):
    assert words(difference(subject, label, old, new)) == [line]


def test_a_long_lock_is_cut():
    many = "\n".join(f"p{number:02} 1.0.0 r c" for number in range(40))

    assert words(difference(Subject.PACKAGES, "Cargo.lock", "", many))[0].endswith("; + p23 1.0.0; and 16 more")


def test_files_are_named_as_far_as_one_reads():
    many = files_changed("source tree", {"old": 1, "b": 1}, {"b": 2, "new": 1})

    assert words(many) == ["3 files changed: ~ b; + new; - old"]
    assert words(files_changed("source tree", {}, {"new": 1})) == ["new is new"]
    more = files_changed("source tree", {}, dict.fromkeys(map(str, range(10, 70)), 1))
    assert words(more) == ["60 files changed: + 10; + 11; + 12; + 13; and 56 more"]


def test_what_another_difference_explains_is_not_said():
    image = difference(Subject.TOOLCHAIN, "toolchain image", "sha256:1", "sha256:2")
    rustc = difference(Subject.TOOLCHAIN, "rustc", "rustc 1.95.0", "rustc 1.96.0")
    flags = difference(Subject.CONFIGURATION, CONFIGURATION, "{}", '{"build": {"rustflags": ["-g"]}}')
    encoded = difference(Subject.ENVIRONMENT, "CARGO_ENCODED_RUSTFLAGS", "-C", "-g\x1f-C")

    assert words(image, rustc, encoded, flags) == ["toolchain: rustc 1.95.0 -> rustc 1.96.0", "RUSTFLAGS: (none) -> -g"]


def test_what_a_lower_rung_names_is_not_said_twice():
    shared = difference(Subject.SETTING, "features", "", "tls")
    sources = FilesChanged(label="source tree")

    assert told(
        Refusal(Rung.RESULT, WhyNot.KEY_CHANGED, (shared, sources)),
        Refusal(Rung.OBSERVED, WhyNot.KEY_CHANGED, (shared,)),
        Refusal(Rung.WORKSPACE, WhyNot.KEY_CHANGED, (shared,)),
        Refusal(Rung.LAYER, WhyNot.KEY_CHANGED, (shared,)),
        Refusal(Rung.UNITS, WhyNot.NOT_STORED),
    ) == [
        ("result", ["the sources changed"]),
        ("observed", ["for the same reason as layer"]),
        ("workspace", ["for the same reason as layer"]),
        ("layer", ["features: (none) -> tls"]),
        ("units", ["no dependency was compiled here before with this toolchain, these flags and this profile"]),
    ]


def test_a_lineage_without_a_build_is_told_from_a_project_without_one():
    first = [Refusal(rung, WhyNot.FIRST_BUILD) for rung in (Rung.RESULT, Rung.WORKSPACE, Rung.LAYER)]

    assert told(*first) == [
        ("result", ["this lineage has no earlier build"]),
        ("workspace", ["this lineage has no earlier build"]),
        ("layer", ["this project has no earlier build"]),
    ]


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (WhyNot.KEY_CHANGED, "stands on something else"),
        (WhyNot.BUSY, "is being built"),
        (WhyNot.PRUNED, "has lost its own"),
        (WhyNot.DAMAGED, "could not be used"),
        (WhyNot.FIRST_BUILD, "has none"),
    ],
)
def test_why_no_parent_was_forked_names_it(why: WhyNot, words: str):
    assert told(Refusal(Rung.WORKSPACE, why, parent="main")) == [
        ("workspace", [f"none for this lineage (its parent `main` {words})"])
    ]


def test_a_parent_that_is_not_worth_its_copy_is_told_with_what_that_costs_and_spares():
    weighed = Weighed(copying=2.04, compiling=0.0)

    assert told(Refusal(Rung.WORKSPACE, WhyNot.COPYING_COSTS_MORE, parent="main", weighed=weighed)) == [
        (
            "workspace",
            ["none for this lineage (its parent `main` is not worth a copy: 2.0 s to spare 0.0 s of compiling)"],
        )
    ]


def test_a_parent_that_stands_on_something_else_is_told_by_what_that_is():
    rustc = difference(Subject.TOOLCHAIN, "rustc", "rustc 1.95.0", "rustc 1.96.0")

    assert told(Refusal(Rung.WORKSPACE, WhyNot.KEY_CHANGED, (rustc,), parent="main")) == [
        (
            "workspace",
            [
                "none for this lineage (its parent `main` is on another toolchain)",
                "toolchain: rustc 1.95.0 -> rustc 1.96.0",
            ],
        )
    ]


@pytest.mark.parametrize("why", WhyNot)
def test_every_reason_has_words(why: WhyNot):
    ((_, (line,)),) = told(Refusal(Rung.LAYER, why))

    assert line != why


def test_what_a_newer_daemon_says_is_named_at_least():
    newer = {"rung": "layer", "why": "key_changed", "differences": [{"about": "moon", "label": "the moon"}]}

    assert refusals({"refusals": [newer, {"rung": "units", "why": "asleep"}]}) == [
        ("layer", ["the moon changed"]),
        ("units", ["asleep"]),
    ]
