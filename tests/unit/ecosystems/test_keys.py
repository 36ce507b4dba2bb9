"""Which input changes which key; the laws of the cache, "Keys"."""

from dataclasses import replace

import pytest

from cache.blobs import BlobStore
from daemon.builds import ImageRequest, ImageSettings, Link, Revision
from daemon.ecosystems.planned import Plan
from daemon.ecosystems.rust.keys import Host
from tests.fakes.rust_projects import BYTES, PATCHED, SIMPLE, lock, locked, planned, stable

MANIFEST = str(SIMPLE["Cargo.toml"])
FEATURED = {**SIMPLE, "Cargo.toml": MANIFEST + "[features]\nfast = []\n"}


def labels(before: Plan, after: Plan) -> tuple[set[str], set[str]]:
    """The labels of what differs in the exact key, and of what differs in the result key alone."""
    exact = {one.label for one in before.exact.differences(after.exact)}
    result = {one.label for one in before.result.differences(after.result)}
    assert exact <= result
    assert bool(exact) == (before.exact.digest != after.exact.digest)
    assert bool(result) == (before.result.digest != after.result.digest)
    return exact, result - exact - {"source tree"}


OTHER_IMAGE = stable("sha256:" + "1" * 64)


@pytest.mark.parametrize(
    ("change", "exact"),
    [
        ({"scope": "team"}, {"scope"}),
        ({"offered": OTHER_IMAGE}, {"toolchain image"}),
        ({"offered": stable(rustc_version_verbose="rustc 1.96.0")}, {"rustc"}),
        ({"offered": stable(sysroot="/opt/rust")}, {"PATH"}),
        ({"host": Host(mirrors={"crates-io": "sparse+https://m/"}, cpu="processor")}, {"mirrors"}),
        ({"profile": "dev"}, {"profile"}),
        ({"features": ("fast",)}, {"features"}),
        ({"default_features": False}, {"default features"}),
        (
            {"link": Link.STATIC},
            {
                "link",
                "CARGO_ENCODED_RUSTFLAGS",
                "LIBPQ_STATIC",
                "OPENSSL_STATIC",
                "PKG_CONFIG_ALL_STATIC",
            },
        ),
    ],
)
def test_what_a_compiled_unit_depends_on_changes_the_exact_key_by_its_own_part(
    blobs: BlobStore, change: dict[str, object], exact: set[str]
):
    before = planned(blobs, FEATURED).plan
    after = planned(blobs, FEATURED, **change).plan

    assert labels(before, after) == (exact, set())


def with_(**files: str) -> dict[str, object]:
    return {**SIMPLE, **{name.replace("__", "/").replace("_", "."): text for name, text in files.items()}}


NEWER = locked("bytes", "1.0.1", checksum="1" * 64)


@pytest.mark.parametrize(
    ("files", "exact"),
    [
        (with_(Cargo_lock=lock(locked("app", "0.3.0", "bytes", source=""), NEWER)), {"Cargo.lock"}),
        (
            with_(
                Cargo_lock=lock(locked("app", "0.3.0", "bytes", source=""), locked("bytes", "1.0.0", checksum="2" * 64))
            ),
            {"Cargo.lock"},
        ),
        (with_(Cargo_toml=MANIFEST + "[profile.release]\nlto = true\n"), {"manifest Cargo.toml"}),
        (with_(Cargo_toml=MANIFEST + "[features]\nfast = []\n"), {"manifest Cargo.toml"}),
        ({**SIMPLE, ".cargo/config.toml": '[build]\nrustflags = ["-Cdebuginfo=1"]\n'}, {"cargo configuration"}),
        ({**SIMPLE, "build.rs": "fn main() {}\n"}, {"manifest Cargo.toml"}),
    ],
)
def test_what_decides_the_dependencies_changes_the_exact_key(blobs: BlobStore, files: dict[str, str], exact: set[str]):
    before, after = planned(blobs).plan, planned(blobs, files).plan

    assert labels(before, after) == (exact, set())


RENAMED = lock(locked("app", "0.4.0", "bytes", source=""), BYTES)


@pytest.mark.parametrize(
    "files",
    [
        with_(src__main_rs="fn main() { println!() }\n"),
        {**SIMPLE, "src/extra.rs": ""},
        {**SIMPLE, "README.md": "read\n"},
        {**SIMPLE, "src/bin/tool.rs": "fn main() {}\n"} | {"bloomery.toml": '[build]\nbinary = "app"\n'},
        with_(Cargo_toml=MANIFEST.replace('version = "0.3.0"', 'version = "0.4.0"'), Cargo_lock=RENAMED),
        with_(Cargo_toml=MANIFEST.replace("[dependencies]", 'description = "d"\nauthors = ["a"]\n[dependencies]')),
        with_(Cargo_toml=MANIFEST + '[lints.rust]\nunsafe_code = "forbid"\n[package.metadata.x]\ny = 1\n'),
        with_(Cargo_toml=f"# a remark\n{MANIFEST}\n\n"),
    ],
    ids=["edit", "module", "readme", "binary", "version", "description", "lints", "formatting"],
)
def test_what_cannot_change_a_dependency_changes_only_the_result_key(blobs: BlobStore, files: dict[str, str]):
    before, after = planned(blobs).plan, planned(blobs, files).plan

    assert labels(before, after) == (set(), set())
    assert before.result.digest != after.result.digest


@pytest.mark.parametrize(
    ("request_", "label"),
    [
        ({"images": (ImageRequest(settings=ImageSettings(arguments=("--verbose",))),)}, "image settings"),
        ({"images": (ImageRequest(settings=ImageSettings(environment={"A": "b"})),)}, "image settings"),
        ({"check": ("/app/app", "--version")}, "check command"),
    ],
)
def test_what_shapes_the_image_alone_changes_the_result_key_by_its_own_part(
    blobs: BlobStore, request_: dict[str, object], label: str
):
    assert labels(planned(blobs).plan, planned(blobs, **request_).plan) == (set(), {label})


@pytest.mark.parametrize(
    "request_",
    [
        {"images": (ImageRequest(tags=("users:1", "users:2")),)},
        {"images": (ImageRequest(binary="app"),)},
        {"lineage": "feature"},
        {"parent": "feature"},
        {"project": "another"},
        {"revision": Revision(commit="abc", branch="main", dirty=True)},
        {"toolchain": "1.95"},
        {"profile": "release", "link": Link.DYNAMIC},
    ],
    ids=["tags", "binary", "lineage", "parent", "project", "revision", "channel", "defaults"],
)
def test_what_changes_no_content_changes_no_key(blobs: BlobStore, request_: dict[str, object]):
    before, after = planned(blobs).plan, planned(blobs, **request_).plan

    assert labels(before, after) == (set(), set())
    assert before.result == after.result


def test_the_revision_counts_where_the_project_asks_for_it(blobs: BlobStore):
    files = {**SIMPLE, "bloomery.toml": "[build]\nrevision = true\n"}
    before = planned(blobs, files, revision=Revision(commit="abc", branch="main"))
    after = planned(blobs, files, revision=Revision(commit="abd", branch="main"))

    assert labels(before.plan, after.plan) == (set(), {"compile environment", "image settings"})
    assert "export BLOOMERY_COMMIT=abd" in after.compiling.step().script
    assert after.plan.images[0].settings.labels["org.opencontainers.image.revision"] == "abd"


def test_a_compile_environment_is_no_part_of_the_layer(blobs: BlobStore):
    files = {**SIMPLE, "bloomery.toml": '[build]\nenvironment = { GREETING = "hi" }\n'}

    assert labels(planned(blobs).plan, planned(blobs, files).plan) == (set(), {"compile environment"})


def test_the_processor_counts_only_where_the_flags_ask_for_it(blobs: BlobStore):
    native = {**SIMPLE, ".cargo/config.toml": '[build]\nrustflags = ["-C", "target-cpu=native"]\n'}
    hosts = [Host(mirrors={}, cpu=cpu) for cpu in ("one", "another")]

    plain = [planned(blobs, host=host).plan for host in hosts]
    tuned = [planned(blobs, native, host=host).plan for host in hosts]

    assert labels(*plain) == (set(), set())
    assert labels(*tuned) == ({"processor"}, set())


def test_a_package_that_is_cooked_for_real_counts_by_content_and_for_its_project_alone(blobs: BlobStore):
    before = planned(blobs, PATCHED).plan
    edited = planned(blobs, {**PATCHED, "patched/src/lib.rs": "pub fn more() {}\n"}).plan
    elsewhere = planned(blobs, PATCHED, project="another").plan

    assert labels(before, edited) == ({"files by content"}, set())
    assert labels(before, elsewhere) == ({"private to"}, set())
    assert (before.private, elsewhere.private) == ("app", "another")


def test_the_fetch_key_is_what_has_to_be_there_and_who_may_have_it(blobs: BlobStore):
    base = planned(blobs).fetching.key()

    assert planned(blobs, with_(src__main_rs="fn main() { loop {} }\n"), profile="dev").fetching.key() == base
    for other in (
        planned(blobs, scope="team"),
        planned(blobs, offered=OTHER_IMAGE),
        planned(blobs, with_(Cargo_lock=lock(locked("app", "0.3.0", "bytes", source=""), NEWER))),
        planned(blobs, host=Host(mirrors={"crates-io": "sparse+https://m/"}, cpu="processor")),
    ):
        assert other.fetching.key() != base


def test_a_made_lock_is_kept_under_what_cargo_makes_it_from(blobs: BlobStore):
    unlocked = {path: text for path, text in SIMPLE.items() if path != "Cargo.lock"}
    base = planned(blobs, unlocked).fetching.lock_key()

    assert base is not None
    assert planned(blobs).fetching.lock_key() is None
    assert planned(blobs, {**unlocked, "src/main.rs": "fn main() { loop {} }"}).fetching.lock_key() == base
    assert planned(blobs, unlocked, scope="team").fetching.lock_key() != base
    assert planned(blobs, unlocked, offered=OTHER_IMAGE).fetching.lock_key() != base
    newer = MANIFEST.replace('bytes = "1"', 'bytes = "1.1"')
    assert planned(blobs, {**unlocked, "Cargo.toml": newer}).fetching.lock_key() != base


def test_a_made_lock_makes_the_same_layer_as_one_that_was_sent(blobs: BlobStore):
    unlocked = {path: text for path, text in SIMPLE.items() if path != "Cargo.lock"}

    sent, made = planned(blobs).plan, planned(blobs, unlocked, made_lock=str(SIMPLE["Cargo.lock"])).plan

    assert labels(sent, made) == (set(), set())
    assert any("was made" in note for note in made.notes)


def test_another_recipe_makes_other_layers(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch):
    before = planned(blobs).plan
    monkeypatch.setattr("daemon.ecosystems.rust.keys.RECIPE", "0")

    assert labels(before, planned(blobs).plan) == ({"recipe"}, set())


def test_equal_plans_have_equal_keys_in_another_store(blobs: BlobStore, tmp_path_factory: pytest.TempPathFactory):
    other = BlobStore(tmp_path_factory.mktemp("other"))

    assert planned(blobs).plan.result == planned(other).plan.result
    assert replace(planned(blobs).plan, notes=()) == replace(planned(other).plan, notes=())
