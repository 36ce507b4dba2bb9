"""The parts of the measurements that could be wrong without anyone seeing it in a table."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from bench.cargo_time import cargo_seconds
from bench.figures import Figure, Row
from bench.pss import PssSampler, descendants
from bench.sources import edit, made_up
from bench.unit_memory import LOCKS, project


@pytest.mark.parametrize(
    ("output", "seconds"),
    [
        ("    Finished `release` profile [optimized] target(s) in 4.79s\n", 4.79),
        ("    Finished `release` profile [optimized] target(s) in 1m 02s\n", 62.0),
        ("    Finished release [optimized] target(s) in 0.50s\n   …\n    Finished `dev` profile in 2m 01s\n", 121.5),
    ],
)
def test_cargo_s_own_time_is_what_it_says(output: str, seconds: float):
    assert cargo_seconds(output) == seconds


def test_a_build_in_which_cargo_says_no_time_is_not_taken_for_a_quick_one():
    with pytest.raises(ValueError, match="did not say"):
        cargo_seconds("error: could not compile `users`\n")


@pytest.mark.parametrize(("bar", "verdict"), [(None, ""), (3.0, "held"), (2.9, "MISSED")])
def test_a_bar_is_held_by_the_median(bar: float | None, verdict: str):
    row = Row("what", Figure("s", (1.0, 3.0, 100.0)), bar)

    assert row.verdict == verdict
    assert str(row.figure) == "3 s (1 to 100)"


def test_each_edit_is_another_source_that_differs_in_one_line(tmp_path: Path):
    file = made_up(tmp_path / "crate", "crate", 2) / "src" / "main.rs"
    texts = []
    for number in (0, 1, 2):
        edit(file, number)
        texts.append(file.read_text())

    assert len(set(texts)) == 3
    assert {len(text.splitlines()) for text in texts} == {len(texts[0].splitlines())}


def test_children_of_children_are_measured_too():
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo ready; wait"], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        try:
            with PssSampler(os.getpid()) as sampler:
                found = descendants(os.getpid())
                while sampler.samples < 2:
                    pass
        finally:
            for pid in reversed(descendants(shell.pid)):
                os.kill(pid, 9)

    names = {name.split(" ")[1] for name in sampler.at_peak}
    assert {os.getpid(), shell.pid} < set(found)
    assert {"sh", "sleep"} <= names
    assert sampler.peak > 1


def test_the_project_of_all_locks_names_each_dependency_once(tmp_path: Path):
    read = tomllib.loads((project(tmp_path, "together", LOCKS.values()) / "Cargo.toml").read_text())

    assert read["dependencies"].keys() == {crate for group in LOCKS.values() for crate in group}
    assert read["profile"]["release"]["debug"] == 2
