"""What a channel means among the offered toolchains."""

import pytest

from daemon.errors import NoToolchain, UnknownToolchain
from daemon.toolchains.names import resolve
from daemon.toolchains.toolchain import Toolchain, ToolchainFacts


def toolchain(name: str, release: str, *, channel_date: str = "", commit_date: str = "2026-04-14") -> Toolchain:
    facts = ToolchainFacts(
        image_id=f"sha256:{name}",
        rustc_version_verbose=f"rustc {release}\nrelease: {release}",
        release=release,
        commit_date=commit_date,
        channel_date=channel_date,
        host="x86_64-unknown-linux-gnu",
        cargo_version=f"cargo {release}",
        sysroot="/usr/local/rust",
        libc="glibc 2.36",
        artefact_mtime=1_000_000_001,
        sysroot_digests=("00",),
    )
    return Toolchain(name=name, image_reference=f"bloomery/toolchain:{name}", facts=facts)


STABLE = toolchain("stable", "1.95.0", channel_date="2026-04-16")
NIGHTLY = toolchain("nightly", "1.97.0-nightly", channel_date="2026-05-20", commit_date="2026-05-19")
OLD = toolchain("old", "1.94.1")
OLDER = toolchain("older", "1.94.0")
BETA = toolchain("next", "1.96.0-beta.3", channel_date="2026-05-02")
DATED = toolchain("nightly-2025-01-01", "1.85.0-nightly", commit_date="2024-12-31")
OFFERED = (STABLE, NIGHTLY, OLDER, OLD, BETA, DATED)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("1.95", STABLE),
        ("1.95.0", STABLE),
        ("stable", STABLE),
        ("1.95.0-x86_64-unknown-linux-gnu", STABLE),
        ("stable-x86_64-unknown-linux-gnu", STABLE),
        (" stable\n", STABLE),
        ("1.94", OLD),
        ("1.94.0", OLDER),
        ("old", OLD),
        ("nightly", NIGHTLY),
        ("nightly-2026-05-20", NIGHTLY),
        ("nightly-2025-01-01", DATED),
        ("nightly-2025-01-01-x86_64-unknown-linux-gnu", DATED),
        ("beta", BETA),
        ("beta-2026-05-02", BETA),
        ("1.96.0-beta.3", BETA),
    ],
)
def test_a_channel_means_one_toolchain(asked: str, meant: Toolchain):
    assert resolve(asked, OFFERED, "stable") is meant


@pytest.mark.parametrize(
    "asked",
    [
        "1.93",
        "1.9",
        "1",
        "1.95.1",
        "1.97",
        "1.96",
        "1.97.0",
        "nightly-2026-05-19",
        "beta-2026-05-20",
        "stable-aarch64-unknown-linux-gnu",
        "1.95.0-x86_64-unknown-linux-musl",
        "STABLE",
        "/opt/toolchain",
        "nightly-2026-13-45",
    ],
)
def test_what_is_not_offered_is_refused_with_what_is(asked: str):
    with pytest.raises(UnknownToolchain) as caught:
        resolve(asked, OFFERED, "stable")
    assert caught.value.evidence["asked"] == asked
    assert {"name": "stable", "release": "1.95.0", "date": "2026-04-16"} in caught.value.evidence["offered"]
    assert "nightly (1.97.0-nightly)" in caught.value.detail


def test_stable_is_the_newest_stable_release_where_none_is_called_so():
    assert resolve("stable", (NIGHTLY, OLDER, BETA, OLD), "nightly") is OLD


def test_releases_are_compared_as_numbers():
    ninth, tenth = toolchain("a", "1.9.0"), toolchain("b", "1.100.0")
    assert resolve("stable", (tenth, ninth), "stable") is tenth


def test_nightly_is_the_newest_of_several():
    newer = toolchain("n2", "1.97.0-nightly", commit_date="2026-05-25")
    older = toolchain("n1", "1.97.0-nightly", commit_date="2026-05-12")
    assert resolve("nightly", (newer, older), "stable") is newer


def test_a_nightly_without_its_channel_date_is_named_after_the_day_behind_its_commit():
    assert resolve("nightly-2026-05-20", (toolchain("n", "1.97.0-nightly", commit_date="2026-05-19"),), "") is not None


def test_nothing_asked_means_the_default():
    assert resolve(None, OFFERED, "nightly") is NIGHTLY
    assert resolve(None, OFFERED, "1.94") is OLD


def test_no_default_means_stable_or_the_only_one():
    assert resolve(None, OFFERED, "") is STABLE
    assert resolve(None, (NIGHTLY,), "") is NIGHTLY


def test_a_default_that_is_not_offered_is_the_configurations_fault():
    with pytest.raises(UnknownToolchain, match="default"):
        resolve(None, (NIGHTLY,), "stable")


def test_nothing_offered_says_how_to_make_one():
    with pytest.raises(NoToolchain, match="bloomery toolchain make stable"):
        resolve("stable", (), "stable")
