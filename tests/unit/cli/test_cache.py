"""`bloomery cache`."""

import json

import pytest

from tests.fakes.daemon import FakeDaemon
from tests.fakes.terminal import Cli


def test_the_kinds_are_listed_and_the_ceiling_is_said(cli: Cli):
    ran = cli("cache", "ls")

    assert ran.code == 0
    assert ran.out.splitlines() == ["KIND   RECORDS  SIZE", "layer  1        3.0 kB", "unit   12       1.0 kB"]
    assert "Holding 4.0 kB of 50.0 kB" in ran.err


@pytest.mark.parametrize(
    ("options", "keep"),
    [(["--all"], 0), (["--keep", "10GB"], 10**10), (["--keep", "1.5 GiB"], 3 << 29), (["--keep", "512"], 512)],
)
def test_a_prune_asks_for_what_may_stay(cli: Cli, daemon: FakeDaemon, options: list[str], keep: int):
    ran = cli("cache", "prune", *options)

    assert ran.code == 0
    assert daemon.asked == [{"keep": keep, "dry_run": False}]
    assert "Removed 13 records, 4.0 kB" in ran.err


def test_a_dry_run_says_what_would_go(cli: Cli, daemon: FakeDaemon):
    ran = cli("cache", "prune", "--all", "--dry-run")

    assert daemon.asked == [{"keep": 0, "dry_run": True}]
    assert "Would remove 13 records, 4.0 kB" in ran.err


@pytest.mark.parametrize("options", [[], ["--keep", "much"], ["--keep", "5 parsecs"], ["--keep", "1GB", "--all"]])
def test_what_may_stay_has_to_be_said(cli: Cli, daemon: FakeDaemon, options: list[str]):
    assert cli("cache", "prune", *options).code == 2
    assert daemon.asked == []


@pytest.mark.parametrize("words", [("ls",), ("prune", "--all")])
def test_as_json_it_is_the_answer_as_it_came(cli: Cli, words: tuple[str, ...]):
    ran = cli("cache", *words, "--json")

    assert json.loads(ran.out)["size"] == 4_000
