"""Samples in their file, and what is made of them: ratios, bars, table, picture."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.bars import BARS, verdicts
from bench.comparison import lines
from bench.contestants.roster import OURS, ROSTER
from bench.picture import svg
from bench.samples import Sample, SampleFile, Store, Walk, missing
from bench.scenarios import SCENARIOS
from bench.tables import circumstances, markdown


def sample(contestant: str, scenario: str, seconds: float | None, fault: str = "", run: int = 1) -> Sample:
    walk = Walk(project="hello", store=Store.FRESH, run=run, contestant=contestant)
    return Sample(walk=walk, scenario=scenario, seconds=seconds, fault=fault)


@pytest.fixture
def file(tmp_path: Path) -> SampleFile:
    return SampleFile(tmp_path / "results" / "ladder.jsonl")


def test_samples_are_read_as_they_were_written(file: SampleFile):
    written = [sample("bare", "cold", 29.5), sample(OURS, "cold", None, "did not build")]
    for each in written:
        file.append(each)

    assert file.read() == written


def test_a_line_that_was_cut_off_costs_that_sample_alone(file: SampleFile, tmp_path: Path):
    path = tmp_path / "results" / "ladder.jsonl"
    file.append(sample("bare", "cold", 1.0))
    path.write_bytes(path.read_bytes() + b'{"walk": {"project": "he')
    file.append(sample("bare", "leaf", 2.0))

    assert [each.scenario for each in file.read()] == ["cold", "leaf"]


def test_of_a_walk_that_was_walked_again_the_last_samples_count(file: SampleFile):
    for seconds in (1.0, 2.0):
        file.append(sample("bare", "cold", seconds))
    file.append(sample("bare", "cold", 3.0, run=2))

    assert [each.seconds for each in file.read()] == [2.0, 3.0]


def test_a_walk_goes_on_until_every_scenario_has_a_sample():
    known = [sample("bare", "cold", 1.0), sample("bare", "leaf", 1.0, run=2)]
    walk = known[0].walk

    assert missing(walk, ["cold", "leaf"], known) == ["leaf"]
    assert missing(replace(walk, store=Store.FULL), ["cold"], known) == ["cold"]


def test_the_best_alternative_is_the_quickest_that_was_never_wrong():
    found = [
        sample("mounts", "leaf", 1.0),
        sample("mounts", "leaf", 1.0, "it says mark-000001", run=2),
        sample("chapter", "leaf", 6.0),
        sample("bare", "leaf", 2.0),
        *(sample(OURS, "leaf", seconds, run=run) for run, seconds in enumerate((2.0, 3.0, 40.0), 1)),
    ]
    (line,) = lines(found)

    assert line.best_alternative == line.cells["chapter"]
    assert line.ratio(OURS, "chapter") == 0.5
    assert line.ratio(OURS, "bare") == 1.5
    assert line.ratio(OURS, "mbx") is None
    assert str(line.cells[OURS]) == "3 (2 to 40)"
    assert str(line.cells["mounts"]) == "1 (1 to 1) **WRONG 1 of 2**"


def test_a_build_that_failed_is_no_time():
    (line,) = lines([sample("mbx", "cold", None, "did not build"), sample(OURS, "cold", 1.0)])

    assert str(line.cells["mbx"]) == "failed"
    assert line.best_alternative is None


def test_what_cannot_be_tried_is_neither_a_failure_nor_measured_again():
    known = [replace(sample("bare", "moved", None), note="cannot be tried: no lock")]

    assert lines(known) == []
    assert missing(known[0].walk, ["moved"], known) == []


def test_a_bar_adds_what_the_storage_driver_may_cost():
    found = lines([sample("bare", "leaf", 4.0), sample(OURS, "leaf", 5.0)])

    assert [each.held for each in verdicts(found, "fuse-overlayfs")] == [True]
    assert [each.held for each in verdicts(found, "overlay2")] == [False]
    assert str(verdicts(found, "overlay2")[0]) == "MISSED, 1.04 times as long"


def test_a_bar_is_not_held_by_a_wrong_binary_and_not_asked_against_one():
    wrong = "it says bench-mark"
    ours_wrong = lines([sample("bare", "cold", 9.0), sample(OURS, "cold", 1.0, wrong)])
    theirs_wrong = lines([sample("bare", "cold", 9.0, wrong), sample(OURS, "cold", 1.0)])

    assert [str(each) for each in verdicts(ours_wrong, "overlay2")] == ["MISSED, the binary was wrong"]
    assert verdicts(theirs_wrong, "overlay2") == []


def test_a_bar_may_be_against_our_own_other_scenario():
    found = lines([sample(OURS, "nothing", 0.1), sample(OURS, "documentation", 0.3)])
    (verdict,) = verdicts(found, "overlay2")

    assert (verdict.limit, verdict.held) == (0.2, False)


def test_bars_are_about_scenarios_and_contestants_that_there_are():
    scenarios = {scenario.name for scenario in SCENARIOS}

    assert {bar.scenario for bar in BARS} | {bar.of for bar in BARS if bar.of} <= scenarios
    assert {bar.contestant for bar in BARS} <= set(ROSTER)


def test_the_table_says_every_wrong_binary():
    found = [sample("bare", "equal-mtime", 0.5, "it says\n| bench-mark"), sample(OURS, "equal-mtime", 4.0)]
    text = markdown(lines(found), (), found)

    assert "**WRONG 1 of 1**" in text
    assert "it says / bench-mark" in text
    rows = [row for row in text.splitlines() if row.startswith("|")]
    assert len({row.count("|") for row in rows[:3]}) == 1


def test_the_report_says_what_was_measured_and_how_busy_the_machine_was():
    found = [replace(sample(OURS, "cold", 1.0, run=run), version="v1", load=float(run)) for run in (1, 2)]

    assert circumstances(found) == "Bloomery at v1; 2 runs; load average 1.0 to 2.0.\n"
    assert "Nothing" in circumstances([])


def test_without_a_wrong_binary_the_table_says_that():
    found = [sample(OURS, "cold", 1.0)]

    assert "Every binary was the right one." in markdown(lines(found), (), found)


def test_the_picture_has_a_bar_for_each_cell_and_hatches_what_was_wrong():
    found = [
        sample("bare", "leaf", 0.5, "it says bench-mark"),
        sample(OURS, "leaf", 120.0),
        sample("mbx", "leaf", None, "did not build"),
    ]
    drawn = ET.fromstring(svg(lines(found), "hello & more"))
    bars = [each for each in drawn.iter("{http://www.w3.org/2000/svg}rect") if each.get("x") == "220"]
    fills = [each.get("fill") for each in bars if each.get("height") == "10" and each.get("y") != "28"]

    assert fills.count("url(#wrong)") == 2
    assert len(fills) == 5
    assert {"failed", "120"} <= {each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")}
