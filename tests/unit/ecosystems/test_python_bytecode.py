"""The program that compiles installed packages, for real: each is compiled as if it were alone."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.ecosystems.python.inside import compile_packages

SHARED = "def common(argument):\n    return argument.quince_of_the_garden\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of packages: two with names in common, a module, and one that is no Python of today."""
    made = tmp_path / "site-packages"
    for name in ("apple", "berry"):
        (made / name / "inner").mkdir(parents=True)
        (made / name / "__init__.py").write_text(SHARED)
        (made / name / "inner" / "core.py").write_text(SHARED)
    (made / "tool.py").write_text(SHARED)
    (made / "old").mkdir()
    (made / "old" / "of_2.py").write_text("print 'hello'\n")
    (made / "old" / "ours.py").write_text("word = 1\n")
    (made / "apple-1.0.dist-info").mkdir()
    (made / "apple-1.0.dist-info" / "RECORD").write_text("")
    return made


def bytecode(site: Path) -> dict[str, bytes]:
    return {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*.pyc")}


def run(site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", compile_packages.__name__, str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def cached(name: str) -> str:
    path = Path(importlib.util.cache_from_source(name))
    return str(path)


def test_every_source_has_bytecode_that_looks_at_no_time(site: Path):
    assert run(site).returncode == 0

    found = bytecode(site)
    sources = {"apple/__init__.py", "apple/inner/core.py", "berry/__init__.py", "berry/inner/core.py", "tool.py"}
    assert found.keys() == {cached(name) for name in {*sources, "old/ours.py"}}
    assert {content[4:8] for content in found.values()} == {(0b01).to_bytes(4, "little")}


def test_what_is_no_python_of_this_version_stays_without_and_fails_nothing(site: Path):
    ended = run(site)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert not [name for name in bytecode(site) if "of_2" in name]


def test_a_package_is_compiled_as_if_it_were_alone(site: Path, tmp_path: Path):
    run(site)
    among_others = bytecode(site)
    for path in site.rglob("*.pyc"):
        path.unlink()
    for entry in ("apple", "old", "tool.py"):
        (site / entry).rename(tmp_path / entry)

    run(site)

    alone = bytecode(site)
    assert alone.keys() == {cached("berry/__init__.py"), cached("berry/inner/core.py")}
    assert alone == {name: among_others[name] for name in alone}


def test_links_are_not_followed(site: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "stray.py").write_text("word = 1\n")
    (site / "linked").symlink_to(outside)
    (site / "stray.py").symlink_to(outside / "stray.py")
    (site / "apple" / "stray.py").symlink_to(outside / "stray.py")

    assert run(site).returncode == 0

    assert not [name for name in bytecode(site) if "stray" in name]
    assert not (outside / "__pycache__").exists()


def test_bytecode_that_cannot_be_written_ends_the_step_and_is_told(site: Path):
    (site / "apple" / "__pycache__").write_text("in the way")

    ended = run(site)

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: bytecode could not be written: ")
    assert cached("tool.py") in bytecode(site)


TELLS = f"""
import sys
import {compile_packages.__name__} as program
done = []
def tell(source, **how):
    done.append(source)
    open(f"{{source}}.told", "w").write(" ".join(done))
program.py_compile.compile = tell
sys.exit(program.main(sys.argv[1]))
"""


def test_the_process_that_compiles_a_package_has_compiled_no_other(site: Path):
    assert subprocess.run([sys.executable, "-c", TELLS, str(site)], check=False).returncode == 0

    told = {path: path.read_text().split() for path in site.rglob("*.told")}
    assert len(told) == 7
    for path, sources in told.items():
        entry = path.relative_to(site).parts[0].removesuffix(".told")
        assert {Path(source).relative_to(site).parts[0] for source in sources} == {entry}


KILLED = f"""
import os, sys
import {compile_packages.__name__} as program
program.compiled = lambda sources: os.kill(os.getpid(), 9)
sys.exit(program.main(sys.argv[1]))
"""


def test_a_process_that_is_killed_ends_the_step(site: Path):
    assert subprocess.run([sys.executable, "-c", KILLED, str(site)], check=False).returncode == 1


def test_sources_are_compiled_in_this_process(site: Path):
    compile_packages.compiled([str(site / "tool.py"), str(site / "old" / "of_2.py")])

    assert bytecode(site).keys() == {cached("tool.py")}
