import configparser
import email
from collections.abc import Mapping

import pytest

from cache.manifests.errors import BadManifest
from cache.manifests.python.errors import CompiledProject
from cache.manifests.python.in_place import ConsoleScript, InPlace, in_place
from cache.manifests.python.pyproject import read_pyproject
from tests.fakes.source_files import InMemoryFiles

PROJECT = '[project]\nname = "My.Shop"\nversion = "1.0-rc1"\nrequires-python = ">=3.11"\n'
HATCH = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
SETUPTOOLS = '[build-system]\nrequires = ["setuptools>=80"]\nbuild-backend = "setuptools.build_meta"\n'


def read(pyproject: str, more: Mapping[str, str] | None = None) -> InPlace | None:
    files = InMemoryFiles({"app/pyproject.toml": pyproject, **(more or {})})
    return in_place(files, read_pyproject(files, "app/pyproject.toml"))


def made(pyproject: str, more: Mapping[str, str] | None = None) -> InPlace:
    found = read(pyproject, more)
    assert found is not None
    return found


def sections(text: str) -> dict[str, dict[str, str]]:
    """`entry_points.txt` as the specification says that it is read."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_metadata_is_what_importlib_looks_for():
    found = made(PROJECT)
    assert found.directory == "my_shop-1.0rc1.dist-info"
    fields = email.message_from_string(found.metadata)
    assert dict(fields) == {
        "Metadata-Version": "2.1",
        "Name": "My.Shop",
        "Version": "1.0rc1",
        "Requires-Python": ">=3.11",
    }
    assert (found.entry_points, found.scripts, found.notes) == ("", (), ())


def test_a_dynamic_version_is_zero_and_that_is_noted():
    found = made('[project]\nname = "shop"\ndynamic = ["version"]\n')
    assert found.directory == "shop-0.dist-info"
    assert "Version: 0\n" in found.metadata
    (note,) = found.notes
    assert "the version is dynamic" in note


def test_entry_points_and_scripts():
    text = PROJECT + (
        '[project.scripts]\nshop = "shop.main:run"\nadmin = "shop.admin:Admin.main [extra]"\n'
        '[project.gui-scripts]\nwindow = "shop.window:open"\n'
        '[project.entry-points."shop.plugins"]\none = "shop.one"\n"two words" = "shop.two:Two"\n'
        "[project.entry-points.empty]\n"
    )
    found = made(text)
    assert found.scripts == (
        ConsoleScript(name="admin", module="shop.admin", attribute="Admin.main"),
        ConsoleScript(name="shop", module="shop.main", attribute="run"),
    )
    assert sections(found.entry_points) == {
        "console_scripts": {"admin": "shop.admin:Admin.main [extra]", "shop": "shop.main:run"},
        "gui_scripts": {"window": "shop.window:open"},
        "shop.plugins": {"one": "shop.one", "two words": "shop.two:Two"},
    }


def test_a_version_with_an_epoch_and_a_local_part_names_a_directory():
    assert made('[project]\nname = "a"\nversion = "1!2.0+x.1"\n').directory == "a-1!2.0+x.1.dist-info"


def test_without_a_project_there_is_nothing_to_install():
    assert read("[tool.ruff]\n") is None
    assert in_place(InMemoryFiles({}), None) is None


@pytest.mark.parametrize(
    "more",
    [
        'scripts.shop = "shop.main"',
        'scripts.shop = ""',
        'scripts.shop = "shop main:run"',
        'scripts.shop = "shop.main:run()"',
        'scripts.shop = "shop.main:run; import os"',
        'scripts.shop = "shop:run\\n[x]"',
        'scripts."../shop" = "shop:run"',
        'scripts."a b" = "shop:run"',
        'scripts."" = "shop:run"',
        'scripts.".hidden" = "shop:run"',
        'gui-scripts.shop = "shop"',
        'entry-points.x.y = "not a module!"',
        'entry-points.x."a = b" = "shop"',
        'entry-points.x."a\\nb" = "shop"',
        'entry-points.x."[a" = "shop"',
        'entry-points.console_scripts.y = "shop:run"',
        'entry-points.gui_scripts.y = "shop:run"',
        'entry-points."a]b".y = "shop:run"',
        'entry-points."".y = "shop:run"',
    ],
)
def test_entry_points_that_are_none_are_refused(more: str):
    with pytest.raises(BadManifest) as caught:
        read(PROJECT + more + "\n")
    assert str(caught.value.evidence["field"]).startswith("project.")


@pytest.mark.parametrize(
    ("pyproject", "more", "sign"),
    [
        ('[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"\n', {}, "maturin"),
        ('[build-system]\nrequires = []\nbuild-backend = "mesonpy"\n', {}, "mesonpy"),
        ('[build-system]\nrequires = []\nbuild-backend = "scikit_build_core.build"\n', {}, "scikit_build_core.build"),
        ('[build-system]\nrequires = ["setuptools", "Cython>=3"]\n', {}, "Cython"),
        ('[build-system]\nrequires = ["setuptools", "setuptools_rust"]\n', {}, "setuptools_rust"),
        ('[build-system]\nrequires = ["hatchling", "mypy"]\nbuild-backend = "hatchling.build"\n', {}, "mypy"),
        (SETUPTOOLS + '[[tool.setuptools.ext-modules]]\nname = "x"\nsources = ["x.c"]\n', {}, "ext-modules"),
        (SETUPTOOLS, {"app/setup.py": "setup(\n    ext_modules=[Extension('x', ['x.c'])],\n)\n"}, "ext_modules"),
        ("", {"app/setup.py": "setup(rust_extensions = [x])\n"}, "rust_extensions"),
        ("", {"app/setup.py": "setup(cffi_modules=['x.py:ffi'])\n"}, "cffi_modules"),
    ],
)
def test_a_project_that_compiles_something_is_refused(pyproject: str, more: Mapping[str, str], sign: str):
    with pytest.raises(CompiledProject, match="Python all through") as caught:
        read(PROJECT + pyproject, more)
    assert sign in str(caught.value.evidence["sign"])
    assert caught.value.evidence["file"] in {"app/pyproject.toml", *more}


@pytest.mark.parametrize(
    ("pyproject", "more"),
    [
        (HATCH, {"app/setup.py": "setup(ext_modules=[x])"}),
        (SETUPTOOLS, {"app/setup.py": "setup()\n# ext_modules = none\n"}),
        (SETUPTOOLS, {"setup.py": "setup(ext_modules=[x])"}),
        (SETUPTOOLS + "[tool.setuptools]\next-modules = []\n", {}),
        ('[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n', {}),
        ('[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n', {}),
        ('[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n', {}),
        ("", {}),
    ],
)
def test_a_project_of_python_alone_is_installed_where_it_lies(pyproject: str, more: Mapping[str, str]):
    assert made(PROJECT + pyproject, more).directory == "my_shop-1.0rc1.dist-info"
