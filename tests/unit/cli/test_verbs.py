"""The other verbs: logs, ls, show, cancel, explain, image, and what comes before any verb."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from api.cli import VERBS
from tests.fakes.daemon import DIAGNOSTIC, FAILED, FakeDaemon, Json, Refusal, failure
from tests.fakes.terminal import Cli, Start


@pytest.fixture
def built(cli: Cli, daemon: FakeDaemon, project: Path) -> FakeDaemon:
    cli("build", project)
    daemon.requests.clear()
    return daemon


def test_help_lists_every_verb_and_examples(cli: Cli):
    ran = cli("--help")

    assert ran.code == 0
    assert all(f"  {verb} " in ran.out for verb in VERBS)
    assert "docker run --rm $(bloomery build .)" in ran.out


def test_no_verb_is_a_usage_error(cli: Cli):
    assert cli().code == 2


def test_unknown_verb_lists_those_that_are(cli: Cli):
    ran = cli("biuld")

    assert ran.code == 2
    assert "build, compose, explain" in ran.err


@pytest.mark.parametrize("verb", ["build", "explain", "logs", "ls", "show", "cancel", "image", "lockfile"])
def test_each_verb_has_help(cli: Cli, capsys: pytest.CaptureFixture[str], verb: str):
    assert cli(verb, "--help").code == 0
    assert import_module(f"api.commands.{verb}").SUMMARY.partition(";")[0] == VERBS[verb].partition(";")[0]


def test_bad_option_is_a_usage_error(cli: Cli, capsys: pytest.CaptureFixture[str]):
    assert cli("build", "--no-such-option").code == 2


def test_version_is_printed(cli: Cli):
    assert cli("--version").out.startswith("bloomery ")


def test_toolchain_is_handed_its_own_arguments(cli: Cli, capsys: pytest.CaptureFixture[str]):
    assert cli("toolchain", "make", "Not A Name").code == 2


# --- logs


def test_logs_prints_cargos_lines_the_compilers_messages_and_notes(cli: Cli, daemon: FakeDaemon, built: FakeDaemon):
    daemon.script = [
        ("log", {"text": "\x1b[32m  Compiling\x1b[0m a"}),
        ("note", {"text": "mind"}),
        ("diagnostic", DIAGNOSTIC),
    ]

    ran = cli("logs", "b1")

    assert ran.code == 0
    assert ran.out == "  Compiling a\nnote: mind\nerror[E0308]: mismatched types\n --> src/main.rs:3:5\n\n"


def test_logs_of_a_running_build_ends_with_what_there_is(cli: Cli, daemon: FakeDaemon):
    build = daemon.new_build({"tree": ""})
    daemon.hold_after = 2

    assert cli("logs", build["id"]).out == "   Compiling users v0.1.0 (/work)\n"


@pytest.mark.parametrize(("ending", "code"), [({"state": "succeeded"}, 0), (FAILED, 1), ({"state": "cancelled"}, 3)])
def test_following_logs_exits_as_the_build_did(cli: Cli, daemon: FakeDaemon, ending: Json, code: int):
    daemon.ending = ending
    build = daemon.new_build({"tree": ""})

    assert cli("logs", "-f", build["id"]).code == code


@pytest.mark.parametrize("arguments", [["logs", "nope"], ["logs", "-f", "nope"], ["show", "nope"], ["cancel", "nope"]])
def test_unknown_build_is_said_at_once(cli: Cli, arguments: list[str]):
    ran = cli(*arguments)

    assert ran.code == 2
    assert "no build is called nope" in ran.err


def test_reader_that_leaves_early_ends_it_quietly(process: Start, daemon: FakeDaemon):
    daemon.script = [("log", {"text": "x" * 1000})] * 3000
    build = daemon.new_build({"tree": ""})
    started = process("logs", "-f", build["id"])
    started.stdout.readline()
    started.stdout.close()

    assert "Traceback" not in started.stderr.read()
    assert started.wait(20) == 141
    started.stderr.close()


# --- ls, show, cancel


def test_ls_shows_newest_first_across_pages(cli: Cli, daemon: FakeDaemon, built: FakeDaemon):
    for _ in range(4):
        daemon.new_build({"tree": "", "project": "other"})

    rows = [line.split() for line in cli("ls").out.splitlines()]

    assert [row[0] for row in rows] == ["BUILD", "b5", "b4", "b3", "b2", "b1"]
    assert rows[-1][1:6] == ["succeeded", "users", "layer", "4.3", "s"]
    assert rows[-1][-1] == "shop/users"


def test_ls_takes_a_limit_and_a_state(cli: Cli, daemon: FakeDaemon, built: FakeDaemon):
    for _ in range(4):
        daemon.new_build({"tree": ""})

    assert len(json.loads(cli("ls", "--limit", "3", "--json").out)) == 3
    assert [each["id"] for each in json.loads(cli("ls", "--state", "succeeded", "--json").out)] == ["b1"]


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_ls_refuses_a_limit_that_is_no_number_of_at_least_one(limit: str, cli: Cli, capsys: pytest.CaptureFixture[str]):
    assert cli("ls", f"--limit={limit}").code == 2
    assert f"{limit!r} is no number of at least 1" in capsys.readouterr().err


def test_ls_names_the_kind_of_a_failure(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.ending = FAILED
    cli("build", project)

    assert "compile_failed" in cli("ls").out


def test_show_tells_all_that_is_known(cli: Cli, daemon: FakeDaemon, built: FakeDaemon):
    daemon.builds["b1"]["request"]["revision"] = {"commit": "c0ffee", "branch": "main", "dirty": True}
    daemon.builds["b1"]["stages"] = [{"stage": "compile", "started_at": 1.0, "seconds": 3.3}]

    out = cli("show", "b1").out

    for part in (
        "b1",
        "succeeded",
        "c0ffee main (dirty)",
        "compile   3.3 s",
        "layer      152 of 152",
        "shop/users",
        "9 files",
    ):
        assert part in out


def test_show_of_a_failed_build_says_why_and_exits_with_nought(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.ending = {"state": "failed", "failure": failure("missing_library", package="libpq-dev")}
    cli("build", project)

    ran = cli("show", "b1")

    assert ran.code == 0
    assert "(missing_library)" in ran.out


def test_show_json_is_the_record(cli: Cli, daemon: FakeDaemon, built: FakeDaemon):
    assert json.loads(cli("show", "b1", "--json").out) == daemon.builds["b1"]


def test_cancel_ends_a_build(cli: Cli, daemon: FakeDaemon):
    build = daemon.new_build({"tree": ""})

    ran = cli("cancel", build["id"])

    assert (ran.code, build["state"]) == (0, "cancelled")
    assert "Cancelled build b1" in ran.err


def test_cancel_of_a_build_that_has_ended_says_so(cli: Cli, built: FakeDaemon):
    assert "b1 has ended already: succeeded" in cli("cancel", "b1").err


# --- explain, image


EXPLANATION = {
    "project": "shop",
    "ecosystem": "rust",
    "toolchain": "1.95.0",
    "images": [{"binary": "users", "tags": []}],
    "rung": "layer",
    "seconds_saved": 113.0,
    "dependencies": 152,
    "refusals": [{"rung": "result", "why": "first_build", "differences": []}],
    "keys": {"exact": "sha256:" + "e" * 64, "result": "sha256:" + "f" * 64},
    "notes": ["clippy is ignored"],
}


def test_explain_uploads_and_prints_what_would_be_reused(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.explanation = EXPLANATION

    out = cli("explain", project).out

    assert daemon.requests[-1] == "POST /v1/explain"
    for part in ("shop", "152", "layer      152 dependencies, 1 m 53 s saved", "why not result     ", "clippy"):
        assert part in out
    assert daemon.builds == {}


def test_explain_json_is_the_answer(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.explanation = EXPLANATION

    assert json.loads(cli("explain", project, "--json").out) == EXPLANATION


def test_image_save_writes_the_archive(cli: Cli, built: FakeDaemon, tmp_path: Path):
    built.archive = b"an OCI archive, surely"

    ran = cli("image", "save", "b1", "-o", tmp_path / "users.tar")

    assert ran.code == 0
    assert (tmp_path / "users.tar").read_bytes() == built.archive
    assert ran.out == ""


def test_image_save_to_stdout_is_the_archive_alone(cli: Cli, built: FakeDaemon):
    built.archive = b"an OCI archive, surely"

    assert cli("image", "save", "b1", "-o", "-").out == "an OCI archive, surely"


def test_image_that_is_refused_leaves_no_file(cli: Cli, built: FakeDaemon, tmp_path: Path):
    built.refuse = Refusal("not_ready", "wait")

    ran = cli("image", "save", "b1", "-o", tmp_path / "users.tar")

    assert ran.code == 2
    assert not list(tmp_path.glob("*users.tar*"))


def test_image_save_to_where_nothing_can_be_written_is_said(cli: Cli, built: FakeDaemon, tmp_path: Path):
    ran = cli("image", "save", "b1", "-o", tmp_path / "no/such/users.tar")

    assert ran.code == 2
    assert "No such file" in ran.err


def test_image_that_is_cut_off_leaves_no_file(cli: Cli, built: FakeDaemon, tmp_path: Path):
    built.archive, built.cut_archive = b"an OCI archive, surely", True

    ran = cli("image", "save", "b1", "-o", tmp_path / "users.tar")

    assert ran.code == 3
    assert not list(tmp_path.glob("*users.tar*"))


def test_symbols_are_written_under_the_name_that_the_binary_asks_for(
    cli: Cli, built: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    built.archive = b"\x7fELF, surely so"
    monkeypatch.chdir(tmp_path)

    assert cli("image", "symbols", "b1").code == 0
    assert (tmp_path / "users.debug").read_bytes() == built.archive
    assert cli("image", "symbols", "b1", "-o", tmp_path / "other").code == 0
    assert (tmp_path / "other").read_bytes() == built.archive


# --- lockfile


def test_a_made_lock_is_printed_or_written(cli: Cli, built: FakeDaemon, tmp_path: Path):
    built.archive = b"version = 4\n\n[[package]]\n"

    assert cli("lockfile", "b1").out == "version = 4\n\n[[package]]\n"
    ran = cli("lockfile", "b1", "-o", tmp_path / "Cargo.lock")
    assert (ran.code, ran.out) == (0, "")
    assert (tmp_path / "Cargo.lock").read_bytes() == built.archive


def test_a_lock_that_was_not_made_leaves_what_is_there(cli: Cli, built: FakeDaemon, tmp_path: Path):
    (tmp_path / "Cargo.lock").write_text("mine")
    built.refuse = Refusal("not_ready", "the source has a lock of its own")

    ran = cli("lockfile", "b1", "-o", tmp_path / "Cargo.lock")

    assert (ran.code, "a lock of its own" in ran.err) == (2, True)
    assert (tmp_path / "Cargo.lock").read_text() == "mine"


# --- image


def test_image_contents_lists_each_file_and_its_reason(cli: Cli, built: FakeDaemon):
    out = cli("image", "contents", "b1").out

    assert "-0755  4.0 MB  /app/users       binary users" in out
    assert "/lib -> usr/lib" in out
