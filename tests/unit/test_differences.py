"""What two keys differ in, as evidence: every part's values are read, whatever they are, and no secret is told."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.comparing import difference, files_changed
from cache.differences import (
    ConfigurationChanged,
    Difference,
    EntryChange,
    EnvironmentChanged,
    FileChange,
    FilesChanged,
    ManifestChanged,
    Other,
    PackageChange,
    PackagesChanged,
    Presence,
    Subject,
    ToolchainChanged,
    WithheldChanged,
    subject_of,
)

values = (
    st.none()
    | st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=12,
    ).map(json.dumps)
)
versions = st.sampled_from(["1.0.0", "1.0.1", "2.0.0"])
locks = st.dictionaries(st.sampled_from("abcd"), versions, max_size=4)


@given(subject=st.sampled_from(Subject), old=values, new=values)
def test_any_two_values_are_told_apart_by_a_value_that_json_keeps(subject: Subject, old: str | None, new: str | None):
    told = difference(subject, "manifest a", old, new)

    assert subject_of(told) is subject
    assert msgspec.json.decode(msgspec.json.encode(told), type=Difference) == told


def test_every_subject_has_its_own_type():
    assert len({type(difference(subject, "x", "1", "2")) for subject in Subject}) == len(Subject)


@given(old=locks, new=locks)
def test_changes_of_a_lock_lead_from_the_old_packages_to_the_new(old: dict[str, str], new: dict[str, str]):
    before, after = ("\n".join(f"{name} {version} r c" for name, version in side.items()) for side in (old, new))

    told = difference(Subject.PACKAGES, "Cargo.lock", before, after)

    assert isinstance(told, PackagesChanged)
    went = dict(old)
    for change in told.packages:
        assert went.pop(change.name, None) == change.old
        if change.new is not None:
            went[change.name] = change.new
    assert went == new


def test_a_package_of_the_same_version_is_told_by_what_else_it_is():
    told = difference(Subject.PACKAGES, "Cargo.lock", "a 1 r x\nb 1 r x\ns 1 r x", "a 1 q x\nb 1 r y\ns 1 r x\ns 2 r x")

    assert told == PackagesChanged(
        label="Cargo.lock",
        packages=(
            PackageChange(name="a", old="1", new="1", other=Other.SOURCE),
            PackageChange(name="b", old="1", new="1", other=Other.CHECKSUM),
            PackageChange(name="s", old=None, new="2"),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "entry"),
    [
        ({}, {"dependencies": {"itoa": "1"}}, ("dependencies.itoa", None, '"1"')),
        ({"dependencies": {"itoa": "1"}}, {"dependencies": {}}, ("dependencies.itoa", '"1"', None)),
        (
            {"dependencies": {"serde": {"version": "1", "features": ["std"]}}},
            {"dependencies": {"serde": {"version": "1", "features": ["derive", "std"]}}},
            ("dependencies.serde.features", '["std"]', '["derive", "std"]'),
        ),
        (
            {"dependencies": {}},
            {"dependencies": {"serde": {"version": "1"}}},
            ("dependencies.serde", None, '{"version": "1"}'),
        ),
        (
            {"dependencies": {"a": "1"}},
            {"dependencies": {"a": {"path": "a"}}},
            ("dependencies.a", '"1"', '{"path": "a"}'),
        ),
        ({"profile": {}}, {"profile": {"release": {"lto": True}}}, ("profile.release", None, '{"lto": true}')),
        ({"package": {"edition": "2021"}}, {"package": {"edition": "2024"}}, ("package.edition", '"2021"', '"2024"')),
        ({"features": {"default": []}}, {"features": {"default": ["tls"]}}, ("features.default", "[]", '["tls"]')),
    ],
)
def test_a_manifest_is_told_entry_by_entry(old: object, new: object, entry: tuple[str, str | None, str | None]):
    told = difference(Subject.MANIFEST, "manifest app/Cargo.toml", json.dumps(old), json.dumps(new))

    name, before, after = entry
    assert told == ManifestChanged(
        label="manifest app/Cargo.toml",
        path="app/Cargo.toml",
        presence=Presence.CHANGED,
        entries=(EntryChange(name=name, old=before, new=after),),
    )


def test_a_manifest_that_came_or_went_or_was_kept_as_a_digest_has_no_entries():
    def told(old: str | None, new: str | None) -> tuple[Presence, int]:
        change = difference(Subject.MANIFEST, "manifest a", old, new)
        assert isinstance(change, ManifestChanged)
        return change.presence, len(change.entries)

    assert told(None, '{"features": {"a": []}}') == (Presence.ADDED, 0)
    assert told('{"features": {"a": []}}', None) == (Presence.REMOVED, 0)
    assert told("sha256:" + "0" * 64, "{}") == (Presence.CHANGED, 0)


def test_of_cargos_configuration_flags_are_told_and_what_may_be_secret_is_named():
    old = {"build": {"rustflags": ["-g"]}, "env": {"TOKEN": "hush"}, "registries": {"own": {"index": "https://u:p@h/"}}}
    new = {
        "build": {"rustflags": ["-O"]},
        "env": {"TOKEN": "sesame"},
        "registries": {"own": {"index": "https://u:q@h/"}},
    }

    told = difference(Subject.CONFIGURATION, "cargo configuration", json.dumps(old), json.dumps(new))

    assert told == ConfigurationChanged(
        label="cargo configuration",
        entries=(
            EntryChange(name="build.rustflags", old='["-g"]', new='["-O"]'),
            EntryChange(name="env.TOKEN", old=None, new=None, withheld=True),
            EntryChange(name="registries.own.index", old=None, new=None, withheld=True),
        ),
    )


def test_of_what_the_compile_sees_only_names_are_told():
    old = [{"settings": {"environment": {"PASSWORD": "hush"}, "ports": None}}]
    new = [{"settings": {"environment": {"PASSWORD": "sesame"}, "ports": ["80"]}}]

    told = difference(Subject.WITHHELD, "image settings", json.dumps(old), json.dumps(new))

    assert told == WithheldChanged(label="image settings", names=("settings.environment.PASSWORD", "settings.ports"))
    assert difference(Subject.WITHHELD, "check command", '["hush"]', "[]") == WithheldChanged(
        label="check command", names=()
    )


def test_a_toolchain_is_told_by_its_first_line_unless_that_is_the_same():
    assert difference(Subject.TOOLCHAIN, "rustc", "rustc 1.95.0\nhost: a", "rustc 1.96.0\nhost: a") == ToolchainChanged(
        label="rustc", old="rustc 1.95.0", new="rustc 1.96.0"
    )
    same = difference(Subject.TOOLCHAIN, "rustc", "rustc 1.95.0\nhost: a", "rustc 1.95.0\nhost: b")
    assert same == ToolchainChanged(label="rustc", old="rustc 1.95.0\nhost: a", new="rustc 1.95.0\nhost: b")
    assert difference(Subject.ENVIRONMENT, "PATH", "/a", "/b") == EnvironmentChanged(label="PATH", old="/a", new="/b")


def test_files_are_told_by_their_paths_which_may_have_blanks():
    old, new = "a b.x sha256:1 644\nc sha256:1 644", "a b.x sha256:1 755\nd sha256:1 644"

    assert difference(Subject.FILES, "files by content", old, new) == FilesChanged(
        label="files by content",
        files=(
            FileChange(path="a b.x", presence=Presence.CHANGED),
            FileChange(path="c", presence=Presence.REMOVED),
            FileChange(path="d", presence=Presence.ADDED),
        ),
    )
    assert difference(Subject.FILES, "files by content", "sha256:1", "sha256:2") == FilesChanged(
        label="files by content"
    )


def test_more_files_than_one_reads_are_counted():
    told = files_changed("source tree", {}, dict.fromkeys(map(str, range(60)), 1))

    assert (len(told.files), told.more) == (50, 10)
