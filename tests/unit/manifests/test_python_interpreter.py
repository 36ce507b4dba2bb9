import platform
import sys

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import sys_tags

from cache.manifests.python.interpreter import Interpreter

BOOKWORM = Interpreter(version="3.11.2", glibc="2.36")


def test_the_tags_of_this_interpreter_are_those_that_packaging_finds_by_looking():
    version = ".".join(map(str, sys.version_info[:3]))
    here = Interpreter(version=version, glibc=platform.libc_ver()[1], machine=platform.machine())
    assert list(here.tags) == list(sys_tags())


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("cp311-cp311-manylinux_2_36_x86_64", "cp311-cp311-manylinux_2_17_x86_64"),
        ("cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64"),
        ("cp311-cp311-manylinux1_x86_64", "cp311-abi3-manylinux_2_36_x86_64"),
        ("cp311-abi3-manylinux1_x86_64", "cp38-abi3-manylinux2014_x86_64"),
        ("cp38-abi3-manylinux2014_x86_64", "py3-none-manylinux2014_x86_64"),
        ("py3-none-manylinux1_x86_64", "py3-none-any"),
        ("py311-none-any", "py3-none-any"),
    ],
)
def test_the_more_particular_tag_comes_first(better: str, worse: str):
    tags = list(map(str, BOOKWORM.tags))
    assert tags.index(better) < tags.index(worse)


@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_37_x86_64",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp310-cp310-manylinux_2_17_x86_64",
        "cp312-abi3-manylinux_2_17_x86_64",
        "cp311-cp311-musllinux_1_1_x86_64",
        "cp311-cp311-manylinux_2_17_aarch64",
        "cp311-cp311-win_amd64",
        "py2-none-any",
    ],
)
def test_wheels_for_others_do_not_fit(tag: str):
    assert tag not in set(map(str, BOOKWORM.tags))


def test_on_arm_the_oldest_manylinux_is_that_of_2014():
    tags = set(map(str, Interpreter(version="3.12.1", glibc="2.36", machine="aarch64").tags))
    assert "cp312-cp312-manylinux2014_aarch64" in tags
    assert "cp312-cp312-manylinux_2_16_aarch64" not in tags


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ("python_version == '3.11'", True),
        ("python_full_version >= '3.11.3'", False),
        ("sys_platform == 'linux' and os_name == 'posix'", True),
        ("platform_system == 'Windows'", False),
        ("platform_machine == 'x86_64'", True),
        ("implementation_name == 'cpython' and platform_python_implementation == 'CPython'", True),
        ("implementation_version == '3.11.2'", True),
        ("platform_release == '' and platform_version == ''", True),
    ],
)
def test_markers_are_those_of_the_image_not_of_the_daemon(marker: str, holds: bool):  # noqa: FBT001 - a table's column
    assert Marker(marker).evaluate(dict(BOOKWORM.environment)) is holds


@pytest.mark.parametrize(
    ("version", "python", "fits"),
    [
        ("3.11.2", ">=3.11", True),
        ("3.11.2", ">=3.11.3", False),
        ("3.11.2", ">=3.8,<3.12", True),
        ("3.11.2", "~=3.12", False),
        ("3.11.2", "", True),
        ("3.14.0rc1", ">=3.13", True),
    ],
)
def test_requires_python_decides_whether_it_fits(version: str, python: str, fits: bool):  # noqa: FBT001 - the same
    assert Interpreter(version=version, glibc="2.36").fits(SpecifierSet(python)) is fits


def test_the_minor_version_is_what_people_say():
    assert BOOKWORM.minor == "3.11"
