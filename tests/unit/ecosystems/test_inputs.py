"""Dep-info as rustc 1.95 writes it and build scripts' output as cargo 1.95 keeps it, by their names below a target."""

import io
import tarfile

import pytest

from daemon.ecosystems.rust.inputs import Inputs, UnreadableInputs, dep_info, read_inputs, rerun_if_changed, unpacked
from daemon.ecosystems.rust.marks_v1 import MarksV1

MEMBERS = {"app": "app", "my-lib": "libs/my-lib", "root": ""}
A, B, C = "0123456789abcdef", "fedcba9876543210", "00000000000000aa"


def info(name: str, *sources: str) -> str:
    listed = " ".join(source.replace(" ", "\\ ") for source in sources)
    phony = "".join(f"{source}:\n" for source in sources)
    return (
        f"/target/release/deps/{name}.d: {listed}\n\n/target/release/deps/{name}: {listed}\n\n{phony}\n# env-dep:A=b\n"
    )


def unit(package: str, mark: str) -> dict[str, str]:
    return {f"./release/.fingerprint/{package}-{mark}": ""}


def test_the_compiler_s_paths_stand_below_the_workspace_and_belong_to_the_package_of_the_unit() -> None:
    left = {
        **unit("my-lib", A),
        f"./release/deps/my_lib-{A}.d": info(f"my_lib-{A}", "libs/my-lib/src/lib.rs", "libs/my-lib/src/../a b.txt"),
    }

    found = read_inputs(left, MEMBERS, MarksV1())

    assert found == {
        "app": Inputs(),
        "my-lib": Inputs(files=("libs/my-lib/a b.txt", "libs/my-lib/src/lib.rs")),
        "root": Inputs(),
    }


def test_two_members_with_crates_of_one_name_are_told_apart_even_if_one_s_root_lies_in_the_other() -> None:
    left = {
        **unit("app", A),
        **unit("my-lib", B),
        f"release/deps/main-{A}.d": info(f"main-{A}", "libs/my-lib/src/main.rs"),
        f"release/deps/main-{B}.d": info(f"main-{B}", "libs/my-lib/src/other.rs"),
    }

    found = read_inputs(left, MEMBERS, MarksV1())

    assert found["app"].files == ("libs/my-lib/src/main.rs",)
    assert found["my-lib"].files == ("libs/my-lib/src/other.rs",)


def test_dep_info_whose_package_is_unknown_counts_for_every_member() -> None:
    found = read_inputs({f"release/deps/main-{C}.d": info(f"main-{C}", "app/src/main.rs")}, MEMBERS, MarksV1())

    assert {name: read.files for name, read in found.items()} == dict.fromkeys(MEMBERS, ("app/src/main.rs",))


@pytest.mark.parametrize("home", ["release", "./release", "x86_64-unknown-linux-gnu/release", "debug"])
def test_units_are_found_below_every_profile_and_triple(home: str) -> None:
    left = {f"{home}/.fingerprint/app-{A}/": "", f"{home}/deps/app-{A}.d": info("app", "app/src/main.rs")}

    assert read_inputs(left, MEMBERS, MarksV1())["app"].files == ("app/src/main.rs",)


def test_a_build_script_s_own_sources_are_its_package_s() -> None:
    left = {f"release/build/app-{A}/build_script_build-{A}.d": info("build_script_build", "app/build.rs")}

    assert read_inputs(left, MEMBERS, MarksV1())["app"].files == ("app/build.rs",)


def test_what_lies_outside_the_tree_does_not_count() -> None:
    paths = "/target/release/build/app-1/out/made.rs", "/cargo/registry/src/x/lib.rs", "../../outside", "/workshop/a"
    left = {**unit("app", A), f"release/deps/app-{A}.d": info("app", "/work/app/src/main.rs", *paths)}

    assert read_inputs(left, MEMBERS, MarksV1())["app"].files == ("app/src/main.rs",)


def test_a_workspace_may_stand_deeper_in_the_tree() -> None:
    left = {**unit("app", A), f"release/deps/app-{A}.d": info("app", "app/src/main.rs", "app/../../shared.txt")}

    found = read_inputs(left, {"app": "backend/app"}, MarksV1(), workspace="backend")

    assert found["app"].files == ("backend/app/src/main.rs", "shared.txt")


def test_a_build_script_s_paths_stand_below_its_package() -> None:
    output = (
        "cargo:rerun-if-changed=proto\n  cargo::rerun-if-changed=../../shared/a b.txt\n"
        "cargo:rerun-if-changed=/work/flag\ncargo:rerun-if-changed=/usr/include/z.h\n"
        "cargo:rerun-if-env-changed=X\nsomething cargo:rerun-if-changed=no\ncargo:rustc-env=A=rerun-if-changed=no\n"
    )

    found = read_inputs({f"release/build/my-lib-{A}/output": output}, MEMBERS, MarksV1())

    assert found["my-lib"].watched == ("flag", "libs/my-lib/proto", "shared/a b.txt")


def test_a_script_that_names_nothing_watches_its_package_s_directory_or_the_whole_tree() -> None:
    left = {
        f"release/build/app-{A}/output": "cargo:rerun-if-changed=\n",
        f"release/build/root-{B}/output": "cargo:rerun-if-changed=.\n",
        f"release/build/my-lib-{C}/output": "cargo:rustc-cfg=x\n",
    }

    found = read_inputs(left, MEMBERS, MarksV1())

    assert (found["app"].watched, found["root"].watched, found["my-lib"].watched) == (("app",), ("",), ())


def test_a_package_from_outside_counts_if_its_script_names_the_tree() -> None:
    left = {
        f"release/build/esp-config-{A}/output": "cargo:rerun-if-changed=/work/esp.yml\n",
        f"release/build/zlib-{B}/output": "cargo:rerun-if-changed=src/zlib.c\n",
    }

    found = read_inputs(left, MEMBERS, MarksV1())

    assert found["esp-config"] == Inputs(watched=("esp.yml",))
    assert "zlib" not in found


def test_links_on_the_way_are_followed_and_count_themselves() -> None:
    links = {"app/data": "../shared/deep", "shared/deep/more.txt": "/work/end.txt"}
    left = {
        **unit("app", A),
        f"release/deps/app-{A}.d": info("app", "app/src/../data/x.txt", "app/data/../up.txt", "app/data/more.txt"),
        f"release/build/app-{B}/output": "cargo:rerun-if-changed=data\n",
    }

    found = read_inputs(left, MEMBERS, MarksV1(), links=links)["app"]

    assert found.files == ("app/data", "end.txt", "shared/deep/more.txt", "shared/deep/x.txt", "shared/up.txt")
    assert found.watched == ("app/data", "end.txt", "shared/deep", "shared/deep/more.txt")


def test_links_in_a_circle_end() -> None:
    left = {f"release/build/app-{B}/output": "cargo:rerun-if-changed=a\n"}

    found = read_inputs(left, MEMBERS, MarksV1(), links={"app/a": "b", "app/b": "a"})

    assert found["app"].watched == ("app/a", "app/b")


def test_paths_keep_their_spaces_and_other_blanks() -> None:
    text = "/target/x.d: a\\ \\ b.txt c\N{NO-BREAK SPACE}d.txt e\N{LINE SEPARATOR}f.txt\n\nother: no.txt\n"

    assert list(dep_info(text)) == ["a  b.txt", "c\N{NO-BREAK SPACE}d.txt", "e\N{LINE SEPARATOR}f.txt"]


def test_text_that_is_no_dep_info_has_no_paths() -> None:
    assert list(dep_info("# env-dep:A=x: y\nbinary\0rubbish\n: z\n")) == []
    assert list(rerun_if_changed("cargo:::rerun-if-changed=a\ncargo:rerun-if-changed\n")) == []


def test_the_archive_of_a_compile_is_read_without_its_links() -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        directory = tarfile.TarInfo(f"./release/.fingerprint/app-{A}")
        directory.type = tarfile.DIRTYPE
        tar.addfile(directory)
        link = tarfile.TarInfo("./release/deps/link.d")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        text = tarfile.TarInfo(f"./release/deps/app-{A}.d")
        text.size = 3
        tar.addfile(text, io.BytesIO(b"a\xffb"))
    content.seek(0)

    found = unpacked(content)

    assert found[f"./release/deps/app-{A}.d"] == "a\N{REPLACEMENT CHARACTER}b"
    assert found["./release/deps/link.d"] == ""
    assert read_inputs(found, MEMBERS, MarksV1()) == {name: Inputs() for name in MEMBERS}


def test_an_archive_that_is_none_is_refused() -> None:
    with pytest.raises(UnreadableInputs):
        unpacked(io.BytesIO(b"x" * 2000))
