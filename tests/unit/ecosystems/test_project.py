"""What may stay in a layer, and the proof that a compile's binary is real."""

from collections.abc import Sequence

import pytest

from cache.blobs import BlobStore
from daemon.builds import ImageRequest, Link
from daemon.ecosystems.ecosystem import UntrustworthyLayer
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.rust.cooking import unit_hashes
from daemon.ecosystems.rust.messages import Artifact, CargoReader
from daemon.ecosystems.rust.package_id import PackageId
from daemon.ecosystems.rust.project import RustProject
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import ARTEFACT_TIME, PATCHED, REGISTRY, SIMPLE, crate, lock, locked, planned

A, B, C, D = ("a" * 16, "b" * 16, "c" * 16, "d" * 16)
STUB = "0.0.0-bloomery.stub"


def package(text: str) -> PackageId:
    return PackageId.parse(text)


def artifact(name: str, kind: str, *files: str, fresh: bool = False, executable: str | None = None) -> Artifact:
    """One artifact; `name` is a package id."""
    found = package(name)
    return Artifact(found, found.name, (kind,), fresh, files, executable)


def reader(*artifacts: Artifact, runs: Sequence[tuple[str, str]] = (), finished: bool = True) -> CargoReader:
    made = CargoReader(Heard())
    made.artifacts += artifacts
    made.script_runs += [(package(name), out) for name, out in runs]
    made.finished = finished
    return made


APP = artifact("path+file:///work#app@0.3.0", "bin", "/target/release/app", executable="/target/release/app")


def kept(project: RustProject, cooked: CargoReader) -> list[str]:
    (member,) = project.cooking.settle(cooked).members
    assert member.content is not None
    return member.content.decode().split()


def test_units_from_registries_and_git_stay_and_those_of_the_project_never(blobs: BlobStore):
    """Laws 2 and 4: the layer is an allow-list."""
    cooked = reader(
        artifact(f"{REGISTRY}#bytes@1.0.0", "lib", f"/target/release/deps/libbytes-{A}.rlib"),
        artifact("git+https://example.org/x?rev=1#x@1.0.0", "lib", f"/target/release/deps/libx-{B}.rmeta"),
        artifact(f"path+file:///work/util#{STUB}", "lib", f"/target/release/deps/libutil-{C}.rlib"),
        artifact("path+file:///work/util#0.1.0", "lib", f"/target/release/deps/libutil-{D}.rlib"),
        runs=[
            (f"{REGISTRY}#libc@0.2.1", f"/target/release/build/libc-{'1' * 16}/out"),
            (f"path+file:///work#app@{STUB}", f"/target/release/build/app-{'2' * 16}/out"),
        ],
    )

    assert kept(planned(blobs), cooked) == sorted([A, B, "1" * 16])


def test_a_package_whose_origin_is_not_plain_never_stays(blobs: BlobStore):
    cooked = reader(
        artifact("directory+file:///work/vendor#x@1.0.0", "lib", f"/target/release/deps/libx-{A}.rlib"),
        artifact("x 1.0.0 (path+file:///work/x)", "lib", f"/target/release/deps/libx-{B}.rlib"),
        artifact("what is this", "lib", f"/target/release/deps/libx-{C}.rlib"),
    )

    assert kept(planned(blobs), cooked) == []


def test_a_package_that_was_cooked_for_real_stays(blobs: BlobStore):
    cooked = reader(
        artifact("path+file:///work/patched#serde@1.0.9", "lib", f"/target/release/deps/libserde-{A}.rlib"),
        artifact("path+file:///work/patched#serde@1.0.8", "lib", f"/target/release/deps/libserde-{B}.rlib"),
        artifact(f"path+file:///work#app@{STUB}", "lib", f"/target/release/deps/libapp-{C}.rlib"),
    )

    assert kept(planned(blobs, PATCHED), cooked) == [A]


def test_settling_gives_artefacts_the_toolchains_own_time(blobs: BlobStore):
    """Law 1."""
    assert f"touch -h -d @{ARTEFACT_TIME}" in planned(blobs).cooking.settle(reader()).script


@pytest.mark.parametrize(
    ("path", "hashes"),
    [
        (f"/target/release/deps/libbytes-{A}.rlib", [A]),
        (f"/target/release/build/libc-{A}/out", [A]),
        (f"/target/release/build/libc-{A}/build-script-build", [A]),
        (f"/target/x86_64-unknown-linux-gnu/release/deps/libserde_derive-{A}.so", [A]),
        (f"/target/release/deps/libmy-own-name-{A}.rmeta", [A]),
        (f"/target/release/build/bytes/{A}/out/libbytes-{B}.rlib", [A, B]),
        ("/target/release/app", []),
        ("/target/release/deps/libbytes-ABCDEF0123456789.rlib", []),
        (f"/target/release/deps/{A}.rlib", []),
        (f"/target/release/deps/-{A}.rlib", []),
        (f"/target/release/deps/libbytes-{A}0.rlib", []),
        ("/target/release/deps/libdylib.so", []),
    ],
)
def test_a_units_hash_is_the_end_of_a_stem(path: str, hashes: list[str]):
    assert list(unit_hashes([path])) == hashes


def test_a_binary_that_was_just_compiled_from_the_real_package_is_taken(blobs: BlobStore):
    dependency = artifact(f"{REGISTRY}#bytes@1.0.0", "lib", f"/target/release/deps/libbytes-{A}.rlib", fresh=True)

    compiled = planned(blobs).compiling.compiled(reader(dependency, APP))

    assert (compiled.binaries, compiled.taken) == (("app",), "/target/.bloomery")


def changed(**fields: object) -> Artifact:
    values = {name: getattr(APP, name) for name in Artifact.__slots__}
    return Artifact(**(values | fields))


@pytest.mark.parametrize(
    ("artifacts", "why"),
    [
        ([], "nowhere"),
        ([changed(fresh=True)], "already compiled"),
        ([changed(package=package(f"path+file:///work#app@{STUB}"))], "stub"),
        ([APP, artifact(f"path+file:///work/util#{STUB}", "lib", "x")], "stub of util"),
        ([APP, artifact("path+file:///work/util#0.1.0", "lib", "x", fresh=True)], "util 0.1.0 already compiled"),
        ([changed(executable=None)], "nowhere"),
        ([changed(executable="/target/debug/app")], "/target/debug/app"),
        ([changed(executable="/target/release/app-old")], "app-old"),
        ([APP, APP], "/target/release/app, /target/release/app"),
        ([changed(kinds=("example",))], "nowhere"),
        ([changed(target="other")], "nowhere"),
        ([changed(package=package("path+file:///work/b#other@0.3.0"))], "nowhere"),
        ([changed(package=package("path+file:///work#app@0.2.9"))], "0.2.9"),
    ],
)
def test_a_binary_that_is_not_certainly_real_is_never_taken(blobs: BlobStore, artifacts: list[Artifact], why: str):
    """Law 3."""
    with pytest.raises(UntrustworthyLayer) as caught:
        planned(blobs).compiling.compiled(reader(*artifacts))

    assert why in caught.value.detail


def test_a_build_that_cargo_did_not_call_finished_is_never_taken(blobs: BlobStore):
    for finished in (None, False):
        with pytest.raises(UntrustworthyLayer):
            planned(blobs).compiling.compiled(reader(APP, finished=finished))


def test_a_package_that_was_cooked_for_real_may_be_fresh(blobs: BlobStore):
    patched = artifact(
        "path+file:///work/patched#serde@1.0.9", "lib", f"/target/release/deps/libserde-{A}.rlib", fresh=True
    )

    assert planned(blobs, PATCHED).compiling.compiled(reader(patched, APP)).binaries == ("app",)


def test_a_binary_of_a_package_that_was_cooked_for_real_is_compiled_anew_all_the_same(blobs: BlobStore):
    """Law 3: its library may come from the layer, what is shipped may not."""
    files = {
        **PATCHED,
        "Cargo.toml": str(PATCHED["Cargo.toml"]) + '[workspace]\nmembers = ["patched"]\n',
        "patched/src/main.rs": "fn main() {}\n",
    }
    project = planned(blobs, files, images=(ImageRequest(binary="serde"),))
    path, identity = "/target/release/serde", "path+file:///work/patched#serde@1.0.9"

    assert project.compiling.compiled(reader(artifact(identity, "bin", path, executable=path))).binaries == ("serde",)
    with pytest.raises(UntrustworthyLayer, match="already compiled"):
        project.compiling.compiled(reader(artifact(identity, "bin", path, executable=path, fresh=True)))


@pytest.mark.parametrize(
    ("request_", "files", "path"),
    [
        ({"profile": "dev"}, {}, "/target/debug/app"),
        ({"profile": "small"}, {"more": '[profile.small]\ninherits = "release"\n'}, "/target/small/app"),
        ({"link": Link.STATIC}, {}, "/target/x86_64-unknown-linux-gnu/release/app"),
        (
            {},
            {"config": '[build]\ntarget = "x86_64-unknown-linux-gnu"\n'},
            "/target/x86_64-unknown-linux-gnu/release/app",
        ),
    ],
)
def test_the_binary_is_where_profile_and_target_put_it(
    blobs: BlobStore, request_: dict[str, object], files: dict[str, str], path: str
):
    project = planned(
        blobs,
        {
            **SIMPLE,
            "Cargo.toml": str(SIMPLE["Cargo.toml"]) + files.get("more", ""),
            **({".cargo/config.toml": files["config"]} if "config" in files else {}),
        },
        **request_,
    )

    assert project.compiling.compiled(reader(changed(files=(path,), executable=path))).binaries == ("app",)
    assert f"objcopy --only-keep-debug {path} app.debug" in project.compiling.step().script


def test_what_the_build_wrote_into_the_sources_is_told(blobs: BlobStore):
    told = reader(APP)
    told.written += [f"src/{number}.rs" for number in range(25)]

    notes = planned(blobs).compiling.compiled(told).notes

    assert notes[0] == "The build wrote src/0.rs into the source tree; it is not kept."
    assert notes[20:] == ("The build wrote 25 files into the source tree in all.",)


TWO = {
    "Cargo.toml": '[workspace]\nmembers = ["a", "b"]\nresolver = "2"\n',
    "Cargo.lock": lock(locked("a", "0.1.0", source=""), locked("b", "0.1.0", source="")),
    "a/Cargo.toml": crate("a", "0.1.0"),
    "a/src/main.rs": "fn main() {}\n",
    "b/Cargo.toml": crate("b", "0.1.0"),
    "b/src/main.rs": "fn main() {}\n",
}


def test_each_of_several_binaries_has_to_be_real(blobs: BlobStore):
    project = planned(blobs, TWO, images=(ImageRequest(binary="a"), ImageRequest(binary="b")))
    a = artifact("path+file:///work/a#0.1.0", "bin", "/target/release/a", executable="/target/release/a")
    b = artifact("path+file:///work/b#0.1.0", "bin", "/target/release/b", executable="/target/release/b")

    assert project.compiling.compiled(reader(a, b)).binaries == ("a", "b")
    with pytest.raises(UntrustworthyLayer):
        project.compiling.compiled(reader(a))


def test_cook_and_compile_run_the_same_cargo_command(blobs: BlobStore):
    project = planned(blobs, link=Link.STATIC)
    commands = [
        next(line for line in step.script.splitlines() if "cargo build" in line)
        for step in (project.cooking.step(Fetched()), project.compiling.step())
    ]

    assert commands[0].removeprefix("exec ") == commands[1].removesuffix("; code=$?")
    assert "--locked --offline" in commands[0]
    assert "--target x86_64-unknown-linux-gnu" in commands[0]
