import time
from collections.abc import Mapping
from typing import Any

import pytest
import tomli_w

from cache.errors import Failure
from cache.manifests.errors import BadManifest
from cache.manifests.python.errors import HashMismatch, NoWheel, UnfitPython, UnknownExtra, UnsupportedSource
from cache.manifests.python.interpreter import Interpreter
from cache.manifests.python.lock import PythonLock, read_lock
from cache.manifests.python.locked import FileKind, LockedPackage, lock_value, require_hashes

BOOKWORM = Interpreter(version="3.11.2", glibc="2.36")
FILES = "https://files.example/packages"


def digest(name: str) -> str:
    return name.encode().hex().ljust(64, "0")[:64]


def file(name: str, /, **more: Any) -> dict[str, Any]:
    """A wheel's or an sdist's table."""
    return {"url": f"{FILES}/{name}", "hashes": {"sha256": digest(name)}, **more}


def wheels(*names: str) -> dict[str, Any]:
    return {"wheels": [file(name) for name in names]}


def package(name: str, version: str | None = "1.0", **more: Any) -> dict[str, Any]:
    return {"name": name, **({"version": version} if version else {}), **more}


def pure(name: str, version: str = "1.0", **more: Any) -> dict[str, Any]:
    return package(name, version, **wheels(f"{name.replace('-', '_')}-{version}-py3-none-any.whl"), **more)


def lock(*packages: Mapping[str, Any], **more: Any) -> PythonLock:
    document = {"lock-version": "1.0", "created-by": "test", "packages": [*packages], **more}
    return read_lock(tomli_w.dumps(document).encode())


def chosen(*packages: Mapping[str, Any]) -> list[str]:
    return [package.file for package in lock(*packages).select(BOOKWORM)]


def refused(cause: type[Failure], *packages: Mapping[str, Any], **more: Any) -> Failure:
    """How choosing from a lock fails."""
    with pytest.raises(cause) as caught:
        lock(*packages, **more).select(BOOKWORM)
    assert caught.value.evidence["file"] == "pylock.toml"
    return caught.value


def test_packages_come_by_name_each_with_all_that_it_takes_to_fetch_and_prove_it():
    wheel = file("typing_extensions-4.12-py3-none-any.whl", size=37438)
    locked = lock(package("typing-extensions", "4.12", index="https://index.example/simple", wheels=[wheel]), pure("a"))
    first, second = locked.select(BOOKWORM)
    assert first.name == "a"
    assert second == LockedPackage(
        name="typing-extensions",
        version="4.12",
        file="typing_extensions-4.12-py3-none-any.whl",
        url=f"{FILES}/typing_extensions-4.12-py3-none-any.whl",
        sha256=digest("typing_extensions-4.12-py3-none-any.whl"),
        size=37438,
        kind=FileKind.WHEEL,
        index="https://index.example/simple",
    )


def test_a_lock_of_nothing_chooses_nothing():
    assert lock().select(BOOKWORM) == ()


def test_the_best_wheel_is_chosen():
    names = [
        "x-1.0-py3-none-any.whl",
        "x-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "x-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        "x-1.0-cp311-cp311-manylinux_2_39_x86_64.whl",
        "x-1.0-cp312-cp312-manylinux_2_17_x86_64.whl",
        "x-1.0-cp311-cp311-musllinux_1_2_x86_64.whl",
        "x-1.0-cp311-cp311-win_amd64.whl",
    ]
    assert chosen(package("x", **wheels(*names))) == ["x-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"]
    assert chosen(package("x", **wheels(*reversed(names)))) == ["x-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"]


def test_an_sdist_is_chosen_where_no_wheel_fits():
    (found,) = lock(package("x", sdist=file("x-1.0.tar.gz"), **wheels("x-1.0-cp312-cp312-win_amd64.whl"))).select(
        BOOKWORM
    )
    assert (found.file, found.kind) == ("x-1.0.tar.gz", FileKind.SDIST)


def test_without_a_fitting_file_it_says_which_wheels_there_are_and_for_which_pythons():
    names = ("x-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "x-1.0-cp310-cp310-manylinux_2_17_x86_64.whl")
    failure = refused(NoWheel, pure("a"), package("x", **wheels(*names)))
    assert "its wheels are for cp310, cp312" in failure.detail
    assert failure.evidence["package"] == "x"
    assert failure.evidence["wheels"] == sorted(names)
    assert failure.evidence["pythons"] == ["cp310", "cp312"]


def test_markers_are_those_of_the_interpreter():
    assert chosen(
        pure("both", marker="python_version >= '3.8' and sys_platform == 'linux'"),
        pure("windows", marker="sys_platform == 'win32'"),
        package("windows-too", marker="os_name == 'nt'", directory={"path": "libs/x"}),
    ) == ["both-1.0-py3-none-any.whl"]


def test_of_two_versions_the_markers_choose():
    old, new = pure("x", "1.0", marker="python_version < '3.11'"), pure("x", "2.0", marker="python_version >= '3.11'")
    assert chosen(old, new) == ["x-2.0-py3-none-any.whl"]


def test_a_name_that_is_chosen_twice_is_refused():
    assert "'x'" in refused(BadManifest, pure("x", "1.0"), pure("x", "2.0")).detail


EXTRAS = (
    pure("always"),
    pure("fast", marker="'speed' in extras"),
    pure("linter", marker="'dev' in dependency_groups"),
    pure("usual", marker="'default' in dependency_groups"),
)


@pytest.mark.parametrize(
    ("extras", "groups", "names"),
    [
        ([], [], ["always", "usual"]),
        (["Speed"], [], ["always", "fast", "usual"]),
        ([], ["dev"], ["always", "linter", "usual"]),
    ],
)
def test_extras_and_groups_bring_what_they_name(extras: list[str], groups: list[str], names: list[str]):
    locked = lock(
        *EXTRAS,
        extras=["speed"],
        **{"dependency-groups": ["dev", "default"], "default-groups": ["default"]},
    )
    assert [package.name for package in locked.select(BOOKWORM, extras, groups)] == names


@pytest.mark.parametrize(("extras", "groups"), [(["none"], []), ([], ["none"])])
def test_an_extra_or_group_that_the_lock_lacks_is_refused(extras: list[str], groups: list[str]):
    with pytest.raises(UnknownExtra, match="`none`: it has") as caught:
        lock(*EXTRAS, extras=["speed"], **{"dependency-groups": ["dev"]}).select(BOOKWORM, extras, groups)
    assert caught.value.evidence["offered"] in (["speed"], ["dev"])


def test_a_lock_for_another_python_is_refused():
    assert refused(UnfitPython, pure("a"), **{"requires-python": ">=3.12"}).evidence["wanted"] == ">=3.12"
    failure = refused(UnfitPython, pure("a"), environments=["sys_platform == 'win32'", "python_version > '3.12'"])
    assert failure.evidence["wanted"] == 'sys_platform == "win32" or python_version > "3.12"'
    failure = refused(UnfitPython, pure("a"), pure("b", **{"requires-python": "<3.11"}))
    assert "b 1.0 in pylock.toml" in failure.detail


def test_a_lock_for_this_python_among_others_is_fine():
    locked = lock(
        pure("a", **{"requires-python": ">=3.8"}),
        environments=["sys_platform == 'win32'", "sys_platform == 'linux'"],
        **{"requires-python": ">=3.11"},
    )
    assert len(locked.select(BOOKWORM)) == 1
    assert str(locked.requires_python) == ">=3.11"


def test_the_project_itself_is_no_package_to_install():
    itself = package("demo", None, directory={"path": ".", "editable": True})
    assert chosen(pure("a"), itself) == ["a-1.0-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (package("x", None, directory={"path": "libs/x"}), "it is the directory `libs/x`"),
        (package("x", None, directory={"path": ".", "subdirectory": "x"}), "it is the directory"),
        (
            package("x", None, vcs={"type": "git", "url": "https://git.example/x", "commit-id": "0" * 40}),
            "comes from a repository",
        ),
        (
            package(
                "x", None, archive={"url": f"{FILES}/x-1.0.tar.gz", "hashes": {"sha256": "0" * 64}, "subdirectory": "y"}
            ),
            "a directory of an archive",
        ),
        (package("x", None, archive={"url": f"{FILES}/x.exe", "hashes": {"sha256": "0" * 64}}), "neither a wheel nor"),
        (
            package("x", None, archive={"url": f"{FILES}/y-1.0.tar.gz", "hashes": {"sha256": "0" * 64}}),
            "another package",
        ),
        (package("x", None, archive={"url": f"{FILES}/", "hashes": {"sha256": "0" * 64}}), "no name of a file"),
        (
            package("x", None, archive={"url": f"{FILES}/..%2Fx-1.0.tar.gz", "hashes": {"sha256": "0" * 64}}),
            "no name of a file",
        ),
        (
            package("x", sdist={"path": "x-1.0.tar.gz", "hashes": {"sha256": "0" * 64}}),
            "beside the lock: give it a URL",
        ),
        (package("x", sdist=file("x-1.0.tar.gz", hashes={"md5": "0" * 32})), "no sha256"),
        (package("x", sdist=file("x-1.0.tar.gz", hashes={"sha256": "0" * 63})), "no sha256"),
        (package("x", sdist=file("x-1.0.tar.gz", hashes={"sha256": "z" * 64})), "no sha256"),
        (package("x", sdist=file("x-1.0.tar.gz", url="file:///srv/x-1.0.tar.gz")), "no HTTP URL"),
        (package("x", sdist=file("x-1.0.tar.gz", url="ftp://files.example/x-1.0.tar.gz")), "no HTTP URL"),
        (package("x", sdist=file("x-1.0.tar.gz", url="https:///x-1.0.tar.gz")), "no HTTP URL"),
        (package("x", sdist=file("x-1.0.tar.gz", url=f"{FILES}/a b/x-1.0.tar.gz")), "no HTTP URL"),
        (package("x", sdist=file("x-1.0.tar.gz", url=f"{FILES}/a\nb/x-1.0.tar.gz")), "no HTTP URL"),
        (package("x", sdist=file("x-1.0.tar.gz", url="https://secret@files.example/x-1.0.tar.gz")), "a password"),
        (package("x", sdist=file("x-1.0.tar.gz", url="ftp://me:secret@files.example/x-1.0.tar.gz")), "no HTTP URL"),
        (package("x", sdist=file("x-1.0.tar.gz", url="https://me:secret@files.example/x-1.0.tar.gz")), "a password"),
    ],
)
def test_what_is_no_file_that_can_be_proved_is_refused(made: dict[str, Any], words: str):
    failure = refused(UnsupportedSource, made)
    assert words in failure.detail
    assert failure.evidence["package"] == "x"
    assert "secret" not in failure.detail


@pytest.mark.parametrize(
    "made",
    [
        package("x", sdist=file("x-1.0.tar.gz", name="../x-1.0.tar.gz")),
        package("x", wheels=[file("x-1.0-py3-none-any.whl", name="../../x-1.0-py3-none-any.whl")]),
        package("x", wheels=[file("x-1.0-py3-none-any.whl", name="/etc/x-1.0-py3-none-any.whl")]),
        package("x", wheels=[file("x-1.0-py3-none-any.whl", name="x-1.0-py3-none-a\\b.whl")]),
        package("x", wheels=[file("x-1.0-py3-none-any.whl", name="x-1.0-py3-none-any.whl\n")]),
    ],
)
def test_names_of_files_lead_nowhere_else(made: dict[str, Any]):
    with pytest.raises((BadManifest, UnsupportedSource, NoWheel)):
        lock(made).select(BOOKWORM)


def test_files_of_direct_urls_are_installed_too():
    archive = {"url": f"{FILES}/x-1.0-py3-none-any.whl?download=1#x", "hashes": {"sha256": "AB" * 32}, "size": 5}
    (found,) = lock(package("x", None, archive=archive)).select(BOOKWORM)
    assert (found.file, found.version, found.kind) == ("x-1.0-py3-none-any.whl", "1.0", FileKind.WHEEL)
    assert (found.sha256, found.size) == ("ab" * 32, 5)


def test_a_direct_wheel_for_another_python_is_no_wheel():
    archive = {"url": f"{FILES}/x-1.0-cp312-cp312-win_amd64.whl", "hashes": {"sha256": "0" * 64}}
    assert refused(NoWheel, package("x", None, archive=archive)).evidence["pythons"] == ["cp312"]


def test_what_sdists_are_built_with_is_chosen_apart():
    locked = lock(
        package("x", sdist=file("x-1.0.tar.gz")),
        tool={"bloomery": {"build": {"packages": [pure("setuptools", "80.0"), pure("flit-core")]}}},
    )
    assert [package.name for package in locked.select(BOOKWORM)] == ["x"]
    assert [package.name for package in locked.select_build(BOOKWORM)] == ["flit-core", "setuptools"]


def test_a_lock_of_others_has_nothing_to_build_with():
    assert lock(pure("a"), tool={"uv": {"x": 1}}).select_build(BOOKWORM) == ()


HEAD = b'lock-version = "1.0"\ncreated-by = "x"\n'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"lock-version = ", "line 1"),
        (b"\xff", "not UTF-8"),
        (b"", "lock-version"),
        (b'lock-version = "2.0"\ncreated-by = "x"\npackages = []', "2.0 is not supported"),
        (HEAD, "packages"),
        (b'lock-version = "1.0"\npackages = []', "created-by"),
        (HEAD + b"packages = [1]", "packages"),
        (HEAD + b'packages = [{ name = "A_b" }]', "not normalized"),
        (HEAD + b'packages = [{ name = "a" }]', "packages"),
        (
            HEAD + b'packages = [{ name = "a", wheels = [{ url = 1, hashes = {} }] }]',
            "wheels",
        ),
        (
            HEAD + b'packages = [{ name = "a", wheels = [{ url = "http://[", hashes = { x = "1" } }] }]',
            "packages",
        ),
        (HEAD + b'packages = []\nrequires-python = "x"', "requires-python"),
        (HEAD + b'packages = []\nextras = ["A B"]', "extras"),
        (HEAD + b"packages = []\ntool = 1", "tool"),
        (HEAD + b"packages = []\ntool.bloomery = 1", "tool.bloomery"),
        (HEAD + b"packages = []\ntool.bloomery.build.packages = 1", "build.packages"),
        (
            HEAD + b'packages = []\ntool.bloomery.build.packages = [{ name = "a" }]',
            r"tool\.bloomery\.build\.packages",
        ),
    ],
)
def test_what_the_specification_forbids_is_refused(content: bytes, words: str):
    with pytest.raises(BadManifest, match=words) as caught:
        read_lock(content, "deploy/pylock.toml")
    assert caught.value.evidence["file"] == "deploy/pylock.toml"


@pytest.mark.parametrize("marker", ["extra == 'x'", "python_version ~= 'abc'", f"python_version > '{'1' * 5000}'"])
def test_a_marker_that_means_nothing_is_refused(marker: str):
    refused(BadManifest, pure("a", marker=marker))


def test_a_marker_without_end_is_refused():
    with pytest.raises(BadManifest):
        lock(pure("a", marker="(" * 5000 + "python_version > '3'" + ")" * 5000))


def test_wheels_of_more_tags_than_anybody_has_are_not_read():
    many = ".".join(["a"] * 100)
    began = time.perf_counter()
    with pytest.raises(BadManifest, match="tags: more than"):
        lock(package("x", **wheels(f"x-1.0-{many}-{many}-{many}.whl")))
    assert time.perf_counter() - began < 1


def test_a_package_is_one_line_of_a_key():
    locked = lock(pure("b", index="https://index.example/simple"), pure("a"))
    a, b = (f"{name}-1.0-py3-none-any.whl" for name in "ab")
    assert lock_value(reversed(locked.select(BOOKWORM))) == (
        f"a 1.0 {FILES}/{a} sha256:{digest(a)}\nb 1.0 https://index.example/simple sha256:{digest(b)}"
    )


@pytest.mark.parametrize("index", ["https://me:secret@index.example/simple", "https://index.example/a b", "x\ny z"])
def test_an_index_that_no_key_may_show_is_left_out(index: str):
    (found,) = lock(pure("a", index=index)).select(BOOKWORM)
    assert found.index is None
    assert found.line.count(" ") == 3


def test_chosen_files_are_held_to_the_hashes_of_the_requirements():
    packages = lock(pure("a"), pure("b")).select(BOOKWORM)
    right = packages[0].sha256
    require_hashes(packages, {}, "requirements.txt")
    require_hashes(packages, {"a": frozenset({right, "0" * 64}), "gone": frozenset({"1" * 64})}, "requirements.txt")
    with pytest.raises(HashMismatch, match=f"--hash=sha256:{right}") as caught:
        require_hashes(packages, {"a": frozenset({"0" * 64})}, "requirements.txt")
    assert caught.value.evidence == {
        "file": "requirements.txt",
        "package": "a",
        "chosen": "a-1.0-py3-none-any.whl",
        "found": right,
        "allowed": ["0" * 64],
    }
