"""How values look."""

import pytest

from api.client.following import cargo_line
from api.client.render import (
    age,
    bar,
    count,
    duration,
    expectation,
    problem,
    record,
    reuse,
    size,
    table,
    without_ansi,
)
from daemon.builds import Verified


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


def test_the_report_says_what_was_reused_why_not_more_and_what_was_compiled():
    built = {
        "rung": "units",
        "dependencies": 60,
        "reused": 44,
        "compiled": ["itoa 1.0.18", "app 0.1.0"],
        "members": ["app 0.1.0"],
        "compiled_twice": [],
        "seconds_saved": 12.34,
        "refusals": [{"rung": "layer", "why": "first_build"}],
        "notes": ["clippy is ignored"],
        "seconds": 8.7,
        "expected_seconds": 9.1,
        "cold_seconds": 184,
    }

    assert reuse(built) == [
        ("reuse", "units      44 of 45 dependencies, 0 compiled twice, 12.3 s saved"),
        ("why not", "layer      this project has no earlier build"),
        ("compile", "1 dependency, 1 member        took 8.7 s, expected 9.1 s, cold 3 m 04 s"),
        ("note", "clippy is ignored"),
    ]


@pytest.mark.parametrize(
    ("times", "line"),
    [
        (
            {"expected_seconds": 9.1, "cold_seconds": 184.0},
            "2 members                     expected 9.1 s, cold 3 m 04 s",
        ),
        ({"expected_seconds": 9.1, "cold_seconds": None}, "2 members                     expected 9.1 s"),
        ({"seconds": 9.1, "expected_seconds": None}, "2 members                     took 9.1 s"),
        (
            {"expected_seconds": None, "cold_seconds": None},
            "2 members                     expected time not known: nothing like it was built here",
        ),
        ({}, "2 members"),
    ],
)
def test_seconds_are_told_as_far_as_they_are_known(times: dict[str, object], line: str):
    told = {"rung": "layer", "dependencies": 0, "compiled": ["a 1", "b 1"], "members": ["a 1", "b 1"], **times}

    assert ("compile", line) in reuse(told)


def test_a_fork_is_told_with_its_parent():
    forked = {"rung": "workspace", "dependencies": 0, "forked_from": "main", "seconds_saved": 3}

    assert reuse(forked) == [("reuse", "workspace  no dependencies, copied from `main`, 3.0 s saved")]


def test_what_is_about_to_be_compiled_is_told_where_the_seconds_are_known():
    known = {"dependencies": 2, "members": 1, "expected_seconds": 9.1, "cold_seconds": 184.0}

    assert expectation(known) == "2 dependencies, 1 member to compile, 9.1 s (cold 3 m 04 s)"
    assert expectation(known | {"cold_seconds": None, "dependencies": 0}) == "1 member to compile, 9.1 s"
    assert expectation(known | {"expected_seconds": None}) is None


@pytest.mark.parametrize(
    ("report", "line"),
    [
        ({"rung": "result", "dependencies": 2, "members": []}, "result     the image itself"),
        (
            {"rung": "none", "dependencies": 2, "compiled": ["a 1", "b 1"], "members": ["b 1"]},
            "none       none of 1 dependency",
        ),
        ({"rung": "none", "dependencies": 0}, "none       nothing"),
        (
            {"rung": "workspace", "dependencies": 0, "compiled": ["b 1"], "members": ["b 1"]},
            "workspace  no dependencies",
        ),
        ({"rung": "layer", "dependencies": 2}, "layer      2 dependencies"),
    ],
)
def test_what_was_reused_is_said_as_far_as_it_is_known(report: dict[str, object], line: str):
    assert reuse(report)[0] == ("reuse", line)


def test_problem_of_nothing_known_still_says_something():
    assert problem({}) == ["The request was refused"]


# --- what came of building again clean


def verified(result: str, **over: object) -> list[str]:
    """What `bloomery show` tells of it."""
    nothing = {"detail": "", "at": 1.0, "seconds": 0.0, "images": [], "units": [], "revoked": 0}
    build = {"id": "b1", "state": "succeeded", "request": {"tree": "sha256:1"}}
    told = record({**build, "verification": {**nothing, "result": result, **over}})
    return [line[11:] for line in told[told.index(next(line for line in told if line.startswith("verify"))) :]]


@pytest.mark.parametrize("result", Verified)
def test_every_verdict_has_words(result: Verified):
    (line,) = verified(result)
    assert line.startswith(f"{result} ")


def test_an_equal_one_says_how_long_it_took_and_which_units_are_stored_otherwise():
    assert verified("equal", seconds=151.4, units=["bytes 1.0.0", "itoa 1.0.18"]) == [
        "equal      built again clean, every image is the same (2 m 31 s)",
        "           stored with other bytes: bytes 1.0.0, itoa 1.0.18",
    ]


def test_a_different_one_names_both_digests_the_files_and_what_went():
    files = {"about": "files", "label": "image files", "more": 3}
    files["files"] = [{"path": "/app/users", "presence": "changed"}, {"path": "/etc/new", "presence": "added"}]
    image = {"binary": "users", "digest": "sha256:a", "clean": "sha256:b", "files": files}
    assert verified("different", seconds=1.0, images=[image], revoked=12) == [
        "different  what was reused was wrong; 12 entries of the cache are revoked (1.0 s)",
        "           users: sha256:a",
        "           clean: sha256:b",
        "           ~ /app/users",
        "           + /etc/new",
        "           and 3 more",
    ]


def test_a_clean_build_that_failed_says_how():
    image = {"binary": "a", "digest": "sha256:a", "clean": None, "files": {"files": [], "more": 0}}
    told = verified("different", images=[image], detail="compile_failed: no\nmore")
    assert told[1:] == ["           a: sha256:a", "           clean: compile_failed: no"]


@pytest.mark.parametrize("result", ["failed", "dropped"])
def test_one_that_was_not_done_says_why(result: str):
    (line,) = verified(result, detail="no_space: The disk is full\nmore")
    assert line.endswith(": no_space: The disk is full")


def test_packages_of_python_are_installed_and_not_compiled():
    report = {
        "rung": "units",
        "dependencies": 3,
        "reused": 2,
        "compiled": ["red 1.0"],
        "compiled_twice": [],
        "members": [],
        "seconds": 4.0,
        "refusals": [],
    }
    assert reuse(report, "python") == [
        ("reuse", "units      2 of 3 dependencies"),
        ("install", f"{'1 dependency':<30}took 4.0 s"),
    ]
    assert [head for head, _ in reuse(report, "rust")] == ["reuse", "compile"]
