"""How values look."""

import pytest

from api.client.following import cargo_line
from api.client.render import age, bar, count, duration, problem, refusals, reuse, size, table, without_ansi


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0864, "86 ms"),
        (0.9996, "1.0 s"),
        (4.34, "4.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 m 00 s"),
        (151.4, "2 m 31 s"),
        (3599.6, "1 h 00 m"),
        (3720, "1 h 02 m"),
    ],
)
def test_duration(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_951, "1.0 MB"), (12_100_000, "12.1 MB"),
     (5 * 10**15, "5000.0 TB")],
)  # fmt: skip
def test_size(bytes_: int, text: str):
    assert size(bytes_) == text


def test_count_agrees_with_its_number():
    assert (count(1, "file"), count(2, "file"), count(12345, "file")) == ("1 file", "2 files", "12,345 files")


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s ago"), (59, "59 s ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_age(seconds: float, text: str):
    assert age(seconds) == text


def test_table_is_aligned_and_has_no_trailing_blanks():
    assert table(("A", "LONG"), [("xx", "y")]) == ["A   LONG", "xx  y"]


def test_table_without_rows_is_its_headings():
    assert table(("A", "B"), []) == ["A  B"]


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[1m\x1b[91mred\x1b[0m",
        "r\x1b[Ked",
        "\x1b]8;;http://x\x1b\\red\x1b]8;;\x1b\\",
        "\x1b]0;title\x07red",
        "\x1b\x00red\r",
    ],
)
def test_ansi_is_taken_out(text: str):
    assert without_ansi(text) == "red"


@pytest.mark.parametrize(("done", "total"), [(0, 152), (12, 152), (152, 152), (200, 152), (3, 0)])
def test_live_line_fits_the_terminal(done: int, total: int):
    assert len(without_ansi(bar(done, total, "compile " * 20, 80))) < 80


def test_cargos_own_lines_get_their_colour_and_others_stay():
    assert cargo_line("   Compiling serde v1.0.0") == "\x1b[1m\x1b[32m   Compiling\x1b[0m serde v1.0.0"
    assert cargo_line("  note: run with RUST_BACKTRACE=1") == "  note: run with RUST_BACKTRACE=1"
    assert cargo_line("") == ""


def test_differences_name_what_came_and_went_and_cut_what_is_long():
    report = {
        "refusals": [
            {
                "rung": "layer",
                "why": "key_changed",
                "differences": [
                    {"label": "features", "old": None, "new": "x" * 100},
                    {"label": "RUSTFLAGS", "old": "-g", "new": None},
                ],
            }
        ]
    }

    assert refusals(report) == [
        "not layer: something that it depends on has changed",
        f"  features: (none) -> {'x' * 57}...",
        "  RUSTFLAGS: -g -> (none)",
    ]


def test_a_lineage_without_a_build_is_told_from_a_project_without_one():
    first = [{"rung": rung, "why": "first_build"} for rung in ("result", "workspace", "layer")]

    assert refusals({"refusals": first}) == [
        "not result: this lineage has no earlier build",
        "not workspace: this lineage has no earlier build",
        "not layer: this project has no earlier build",
    ]


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("key_changed", "stands on something else"),
        ("busy", "is being built"),
        ("pruned", "has lost its own"),
        ("damaged", "could not be used"),
        ("first_build", "has none"),
    ],
)
def test_why_no_parent_was_forked_names_it(why: str, words: str):
    given = {"rung": "workspace", "why": why, "parent": "main"}

    assert refusals({"refusals": [given]}) == [f"not workspace: none for this lineage, and its parent `main` {words}"]


def test_a_fork_is_told_with_its_parent():
    assert reuse({"rung": "workspace", "forked_from": "main", "seconds_saved": 3}) == [
        "workspace: the last compile of `main` was forked, 3.0 s saved"
    ]


def test_units_are_told_by_their_number_once_it_is_known():
    built = {"rung": "units", "reused": 44, "compiled": ["itoa 1.0.18", "app 0.1.0"], "seconds_saved": 12.34}

    assert reuse(built) == ["units: 44 of 46 packages were compiled before, 12.3 s saved"]
    assert reuse({"rung": "units"}) == ["units: dependencies that were compiled before were reused"]


def test_problem_of_nothing_known_still_says_something():
    assert problem({}) == ["The request was refused"]
