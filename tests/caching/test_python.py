"""Python projects through the whole daemon, on a real engine with real uv, over an index that counts.

One oracle for all: the image is the clean build's, digest for digest.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from uv import find_uv_bin

from cache.digest import Digest
from cache.reuse import Rung, WhyNot
from daemon.config import FetchNetwork, NetworkConfig
from tests.caching.workshop import Built, Workshop, workshop
from tests.conftest import Leftovers
from tests.fakes.docker import docker
from tests.fakes.python_packages import PackageIndex, built, sdist, served, wheel
from tests.fakes.rust_projects import Files

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

APP = "import {names}\nprint({words}, flush=True)\n"
GREEN = wheel("green", requires=["leaf"])
LEAF = wheel(
    "leaf",
    files={"leaf.py": 'word = "leaf-1.0"\n\n\ndef main():\n    print("leafy")\n'},
    scripts={"leafy": "leaf:main"},
)
LEAF_2 = wheel("leaf", "2.0")
RED = wheel("red", files={"red/__init__.py": "word = 'red-1.0'\n", "red/data.txt": "data\n"})
TOOL = wheel("tool")
BLUE = built("blue")
EVIL = built(
    "evil",
    before=(
        "import glob, pathlib\n"
        "for path in glob.glob('/target/files/*') + glob.glob('/env/lib/python3*/site-packages/*.py'):\n"
        "    try:\n"
        "        pathlib.Path(path).write_bytes(b'word = \"spoilt\"')\n"
        "    except OSError:\n"
        "        pass\n"
    ),
)
OVER = {
    name: wheel(name, files={f"{name}.py": f"word = '{name}'\n", "leaf.py": "word = 'spoilt'\n"})
    for name in ("abel", "over")
}
"""Whichever is installed last, one of them lies over `leaf`."""
ASKS = sdist("asks", files={"setup.py": "raise SystemExit('run')"}, dynamic=True)


def project(*names: str, requires: str = "", words: str = "", **more: str) -> Files:
    """An application that says the words of what it imports."""
    said = words or ", ".join(["'said'", *(f"{name}.word" for name in names)])
    files = {
        "requirements.txt": requires or "".join(f"{name}\n" for name in names),
        "app.py": APP.format(names=", ".join(["sys", *names]), words=said),
        "Procfile": "web: python app.py\n",
        "README.md": "read me\n",
        "tests/test_app.py": "def test(): pass\n",
    }
    return files | more


@dataclass(frozen=True)
class Yard:
    shop: Workshop
    index: PackageIndex

    async def build(self, files: Files, scope: str, **request: object) -> Built:
        return await self.shop.build(files, scope=scope, **request)

    async def as_clean(self, built: Built, files: Files) -> None:
        """The oracle."""
        clean = await self.shop.clean(files)
        assert clean.rung is Rung.NONE
        assert built.digest == clean.digest


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with served(GREEN, LEAF, RED, TOOL, BLUE, EVIL, *OVER.values(), ASKS) as index:
        yield index


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def yard(
    tmp_path_factory: pytest.TempPathFactory,
    toolchain_facts: tuple[str, bytes],
    leftovers: Leftovers,
    index: PackageIndex,
) -> AsyncIterator[Yard]:
    network = NetworkConfig(mode=FetchNetwork.HOST, http_proxy="none", https_proxy="none", mirrors={"pypi": index.url})
    place = tmp_path_factory.mktemp("python")
    async with workshop(place, toolchain_facts, leftovers.images, network) as shop:
        leftovers.instances.add(shop.store.instance)
        yield Yard(shop, index)


async def test_a_first_build_installs_and_an_edit_makes_no_sandbox(yard: Yard):
    files = project("green", "red")
    first = await yard.build(files, "edit")
    assert first.rung is Rung.NONE
    assert first.compiled == {"green 1.0", "leaf 1.0", "red 1.0"}
    assert first.prints() == "said green-1.0 red-1.0"
    assert sorted(yard.index.downloads()) == [GREEN.file, LEAF.file, RED.file]
    await yard.as_clean(first, files)

    yard.index.asked()
    edited = {**files, "app.py": "import leaf\nprint(leaf.word.upper())\n"}
    again = await yard.build(edited, "edit")
    assert (again.rung, again.compiled) == (Rung.LAYER, set())
    assert yard.index.asked() == []
    assert again.prints() == "LEAF-1.0"
    await yard.as_clean(again, edited)

    same = await yard.build(edited, "edit")
    assert same.rung is Rung.RESULT


async def test_a_dependency_more_installs_that_one_and_names_it(yard: Yard):
    await yard.build(project("green"), "more")

    more = project("green", "red")
    built = await yard.build(more, "more")

    assert (built.rung, built.compiled) == (Rung.UNITS, {"red 1.0"})
    assert built.changed(Rung.LAYER) == {"packages"}
    assert built.prints() == "said green-1.0 red-1.0"
    await yard.as_clean(built, more)

    back = await yard.build({**project("green"), "app.py": "print('back')\n"}, "more")
    assert (back.rung, back.compiled) == (Rung.LAYER, set())


async def test_another_project_with_the_same_packages_installs_nothing(yard: Yard):
    await yard.build(project("green", "red"), "shared", project="one")
    yard.index.asked()

    other = await yard.build(project("red", "leaf"), "shared", project="other")

    assert (other.rung, other.compiled) == (Rung.UNITS, set())
    assert yard.index.downloads() == []
    assert other.prints() == "said red-1.0 leaf-1.0"


async def test_a_version_that_moves_is_all_that_is_installed(yard: Yard):
    files = project("green", "leaf", requires="green\nleaf==1.0\n")
    await yard.build(files, "moves")
    yard.index.packages.append(LEAF_2)
    try:
        newer = {**files, "requirements.txt": "green\nleaf==2.0\n"}
        built = await yard.build(newer, "moves")
        assert built.compiled == {"leaf 2.0"}
        assert built.prints() == "said green-1.0 leaf-2.0"
        await yard.as_clean(built, newer)
    finally:
        yard.index.packages.remove(LEAF_2)


async def test_what_is_no_part_of_the_application_stays_outside_and_changes_nothing(yard: Yard):
    files = project("leaf")
    first = await yard.build(files, "shipped")
    (image,) = first.outcome.images
    paths = set(docker("run", "--rm", "--entrypoint", "python", image.image_id, "-c", WALK).split())
    assert paths == {"/app/app.py"}

    second = await yard.build({**files, "README.md": "another\n"}, "shipped")
    assert second.digest == first.digest


WALK = "import pathlib; print(*(path for path in pathlib.Path('/app').rglob('*') if path.is_file()))"


async def test_an_image_holds_no_pip_no_uv_and_no_tests_and_its_bytecode_is_believed(yard: Yard):
    built = await yard.build(project("leaf"), "contents")
    (image,) = built.outcome.images
    asked = (
        "import importlib.util as u, os, sys, leaf; "
        "print([name for name in ('pip', 'uv', 'setuptools', 'test', 'idlelib', 'ensurepip') if u.find_spec(name)], "
        "os.path.exists(leaf.__cached__), open(leaf.__cached__, 'rb').read()[4:8] == (1).to_bytes(4, 'little'), "
        "sys.prefix, os.getuid())"
    )
    said = docker("run", "--rm", "--entrypoint", "python", image.image_id, "-c", asked).strip()
    assert said == "[] True True /env 65532"
    assert docker("run", "--rm", "--entrypoint", "leafy", image.image_id).strip() == "leafy"


async def test_an_sdist_is_built_without_a_network_and_apart_from_all_others(yard: Yard):
    files = project("blue", "evil", "leaf", words="blue.word, blue.built_by, evil.word, leaf.word")
    built = await yard.build(files, "sdists")
    assert built.prints() == "blue-1.0 tool-1.0 evil-1.0 leaf-1.0"
    await yard.as_clean(built, files)

    innocent = await yard.build(project("blue", "leaf"), "sdists", project="innocent")
    assert innocent.prints() == "said blue-1.0 leaf-1.0"


@pytest.mark.parametrize("name", OVER)
async def test_a_wheel_that_brings_another_one_s_file_does_not_reach_what_is_kept_of_that(yard: Yard, name: str):
    files = project("leaf", name)
    both = await yard.build(files, name)
    await yard.as_clean(both, files)

    alone = await yard.build(project("leaf"), name, project="alone")

    assert (alone.rung, alone.prints()) == (Rung.UNITS, "said leaf-1.0")


async def test_code_that_alone_could_tell_requirements_is_not_run_to_find_them(yard: Yard):
    failed = await yard.shop.attempt(project("asks"), scope="asks")
    assert failed.build.failure is not None
    assert failed.build.failure.kind == "unresolvable"
    assert "asks==1.0 is an sdist, and only its own code can tell" in failed.build.failure.detail


async def test_requirements_that_conflict_are_told_in_uv_s_words(yard: Yard):
    failed = await yard.shop.attempt(project("leaf", requires="leaf==1.0\nleaf>1.0\n"), scope="conflict")
    assert failed.build.failure is not None
    assert failed.build.failure.kind == "unresolvable"
    assert "leaf" in failed.build.failure.detail


async def test_a_file_of_another_hash_is_refused(yard: Yard):
    wrong = project("leaf", requires=f"leaf==1.0 --hash=sha256:{'0' * 64}\n")
    failed = await yard.shop.attempt(wrong, scope="hash")
    assert failed.build.failure is not None
    assert failed.build.failure.kind in {"hash_mismatch", "unresolvable"}

    right = project("leaf", requires=f"leaf==1.0 --hash=sha256:{LEAF.sha256}\n")
    assert (await yard.build(right, "hash")).prints() == "said leaf-1.0"


async def test_a_wheel_for_another_python_is_no_wheel(yard: Yard):
    yard.index.packages.append(other := wheel("other", tag="cp39-cp39-manylinux_2_17_x86_64"))
    try:
        failed = await yard.shop.attempt(project("other"), scope="other")
        assert failed.build.failure is not None
        assert failed.build.failure.kind in {"unresolvable", "no_wheel"}
    finally:
        yard.index.packages.remove(other)


PYPROJECT = """\
[project]
name = "{name}"
version = "0.1"
requires-python = ">=3.11"
dependencies = [{needs}]
{more}"""


SCRIPT = '[project.scripts]\nshop = "shop:main"\n'


def uv_locked(place: Path, index: PackageIndex, files: Files) -> Files:
    """With the lock that uv makes of them."""
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(str(content))
    environment = {**os.environ, "UV_DEFAULT_INDEX": index.url, "UV_CACHE_DIR": str(place / "cache")}
    subprocess.run([find_uv_bin(), "lock", "--quiet"], cwd=place, env=environment, check=True, capture_output=True)
    return {**files, "uv.lock": (place / "uv.lock").read_text()}


async def test_a_lock_of_uv_decides_and_its_project_is_installed_in_place(yard: Yard, tmp_path: Path):
    said = 'import importlib.metadata as m\n\nimport green\n\n\ndef main():\n    print(green.word, m.version("shop"))\n'
    files = {
        "pyproject.toml": PYPROJECT.format(
            name="shop", needs='"green"', more='[project.scripts]\nshop = "shop:main"\n'
        ),
        "src/shop/__init__.py": said,
    }

    built = await yard.build(uv_locked(tmp_path, yard.index, files), "uv")

    assert (built.rung, built.compiled) == (Rung.NONE, {"green 1.0", "leaf 1.0"})
    assert built.prints() == "green-1.0 0.1"
    assert built.report.notes == ()


async def test_a_member_of_a_workspace_that_another_needs_is_refused_and_not_left_out(yard: Yard, tmp_path: Path):
    sources = "[tool.uv.sources]\nlib = { workspace = true }\n"
    files = {
        "pyproject.toml": '[tool.uv.workspace]\nmembers = ["shop", "lib"]\n',
        "shop/pyproject.toml": PYPROJECT.format(name="shop", needs='"lib"', more=sources),
        "shop/app.py": "import lib\n",
        "lib/pyproject.toml": PYPROJECT.format(name="lib", needs="", more=""),
        "lib/lib.py": "",
    }

    failed = await yard.shop.attempt(uv_locked(tmp_path, yard.index, files), scope="uv", directory="shop")

    assert failed.build.failure is not None
    assert failed.build.failure.kind == "unsupported_source"


async def test_a_package_that_was_lost_is_installed_again(yard: Yard):
    files = project("green", "red")
    await yard.build(files, "lost")
    yard.shop.store.blobs.remove(Digest.of(b"data\n"))

    edited = {**files, "app.py": "import red\nprint(red.word)\n"}
    built = await yard.build(edited, "lost")

    assert built.compiled == {"red 1.0"}
    assert built.why_not(Rung.LAYER) is WhyNot.PRUNED
    assert built.prints() == "red-1.0"


async def test_another_scope_shares_nothing(yard: Yard):
    """Law 7."""
    await yard.build(project("leaf"), "ours")
    theirs = await yard.build(project("leaf"), "theirs")
    assert (theirs.rung, theirs.compiled) == (Rung.NONE, {"leaf 1.0"})
