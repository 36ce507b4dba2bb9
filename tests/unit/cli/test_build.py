"""`bloomery build` against a daemon that speaks the API: what is sent, what is shown, how it exits."""

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from api.client import source
from api.client.bounds import Bounds
from api.client.client import Client
from api.client.console import Console, Style
from api.client.uploading import upload
from api.client.worktree import Worktree
from tests.fakes.daemon import (
    COMPILE_ERROR,
    DIAGNOSTIC,
    FAILED,
    SUCCEEDED,
    FakeDaemon,
    Refusal,
    failure,
    image,
    outcome,
)
from tests.fakes.terminal import Cli, Start

ANSI = re.compile("\x1b\\[")


def test_first_build_uploads_what_the_daemon_lacks_and_names_the_tree_again(
    cli: Cli, daemon: FakeDaemon, project: Path
):
    ran = cli("build", project)

    assert ran.code == 0
    assert daemon.requests[:2] == ["POST /v1/builds", "POST /v1/trees"]
    assert {each.split(" ")[0] for each in daemon.requests[2:4]} == {"PUT"}
    assert daemon.requests[4:6] == ["POST /v1/trees", "POST /v1/builds"]
    assert daemon.requests[6:] == ["GET /v1/builds/b1/events", "GET /v1/builds/b1"]
    assert b"fn main() {}\n" in daemon.blobs.values()


def test_unchanged_tree_costs_one_request_and_the_events(cli: Cli, daemon: FakeDaemon, project: Path):
    cli("build", project)
    daemon.requests.clear()

    assert cli("build", project).code == 0

    assert daemon.requests == ["POST /v1/builds", "GET /v1/builds/b2/events", "GET /v1/builds/b2"]


def test_unchanged_tree_costs_one_request_where_the_build_ends_at_once(cli: Cli, daemon: FakeDaemon, project: Path):
    cli("build", project)
    daemon.requests.clear()
    daemon.prompt = True

    ran = cli("build", project)

    assert (ran.code, ran.out) == (0, "shop/users\n")
    assert daemon.requests == ["POST /v1/builds"]


def test_changed_file_is_the_only_one_sent(cli: Cli, daemon: FakeDaemon, project: Path):
    cli("build", project)
    daemon.requests.clear()
    (project / "src/main.rs").write_text("fn main() { loop {} }\n")

    ran = cli("build", project)

    assert len([each for each in daemon.requests if each.startswith("PUT")]) == 1
    assert "Uploading 1 file of 2" in ran.err


def test_edited_tree_is_listed_before_its_build_is_asked_for(cli: Cli, daemon: FakeDaemon, project: Path):
    cli("build", project)
    daemon.requests.clear()
    (project / "src/main.rs").write_text("fn main() { loop {} }\n")

    cli("build", project)

    asked = [each.partition("/sha256")[0] for each in daemon.requests]
    assert asked[:4] == ["POST /v1/trees", "PUT /v1/blobs", "POST /v1/trees", "POST /v1/builds"]


def test_pruned_blob_is_sent_again(cli: Cli, daemon: FakeDaemon, project: Path):
    cli("build", project)
    daemon.blobs.popitem()

    assert cli("build", project).code == 0


def test_daemon_that_keeps_nothing_is_given_up(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.forgets = True

    ran = cli("build", project)

    assert ran.code == 3
    assert "(not_kept)" in ran.err


def test_daemon_that_makes_another_tree_of_the_listing_is_said_so(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.other_trees = "0"

    ran = cli("build", project)

    assert ran.code == 3
    assert "(trees_differ)" in ran.err


def test_many_files_go_over_several_connections_and_all_arrive(cli: Cli, daemon: FakeDaemon, project: Path):
    for number in range(230):
        (project / f"src/m{number}.rs").write_text(f"// {number}\n")
    (project / "big.bin").write_bytes(os.urandom(3_000_000))
    (project / "empty").touch()

    assert cli("build", project).code == 0

    assert len(daemon.blobs) == 230 + 4


def test_links_modes_and_empty_directories_are_listed(cli: Cli, daemon: FakeDaemon, project: Path):
    (project / "link").symlink_to("src")
    (project / "empty").mkdir()
    (project / "src/main.rs").chmod(0o755)

    assert cli("build", project).code == 0

    (listing,) = daemon.trees.values()
    entries = {each["path"]: each for each in listing["entries"]}
    assert entries["link"] == {"path": "link", "kind": "symlink", "target": "src"}
    assert entries["empty"] == {"path": "empty", "kind": "directory"}
    assert entries["src/main.rs"]["executable"] is True


def test_blob_that_is_refused_while_it_is_sent_tells_why(cli: Cli, daemon: FakeDaemon, project: Path):
    (project / "big.bin").write_bytes(os.urandom(20_000_000))
    daemon.refuse_blobs = Refusal("body_too_large", "leave it out", "limit")

    ran = cli("build", project)

    assert ran.code == 3
    assert "leave it out" in ran.err


def test_file_that_vanishes_under_the_upload_is_named(
    cli: Cli, daemon: FakeDaemon, project: Path, monkeypatch: pytest.MonkeyPatch
):
    def late(client: Client, worktree: Worktree, console: Console) -> None:
        (project / "src/main.rs").unlink()
        upload(client, worktree, console)

    monkeypatch.setattr("api.client.uploading.upload", late)

    ran = cli("build", project)

    assert ran.code == 2
    assert "`src/main.rs`: No such file" in ran.err


def test_only_the_image_reference_is_on_stdout(cli: Cli, project: Path):
    ran = cli("build", project)

    assert ran.out == "shop/users\n"


def test_several_images_are_one_line_each(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.ending = SUCCEEDED | {"outcome": outcome(image("a:1", "a"), image("b:1", "b"))}

    assert cli("build", project).out == "a:1\nb:1\n"


def test_report_says_rung_savings_reason_size_and_files(cli: Cli, project: Path):
    err = cli("build", project).err

    assert "Compiling users v0.1.0" in err
    assert "Reused layer      152 of 152 dependencies, 0 compiled twice, 1 m 53 s saved" in err
    assert "Why not result     src/main.rs changed" in err
    assert "users: 4.3 MB in 9 files (shop/users)" in err
    assert "Finished build b1 in 4.3 s" in err


def test_json_prints_the_record_alone(cli: Cli, project: Path):
    ran = cli("build", project, "--json")

    assert json.loads(ran.out)["state"] == "succeeded"
    assert ran.out.count("\n") == 1


def test_detach_prints_the_id_and_follows_nothing(cli: Cli, daemon: FakeDaemon, project: Path):
    ran = cli("build", project, "--detach")

    assert ran.out == "b1\n"
    assert daemon.requests[-1] == "POST /v1/builds"


def test_options_become_the_request(cli: Cli, daemon: FakeDaemon, project: Path):
    cli(
        *("build", project, "-t", "shop/users:1", "-t", "shop/users", "--bin", "users", "--features", "a,b c"),
        *("--features", "d", "--no-default-features", "--profile", "small", "--toolchain", "nightly"),
        *("--link", "static", "--directory", "services/users", "--project", "shop", "--lineage", "next"),
        *("--parent", "main", "--no-cache", "--verify", "--no-push"),
        *("--check", "/app/users --version 'a b'"),
    )

    asked = dict(daemon.asked[-1])
    assert asked.pop("tree").startswith("sha256:")
    assert asked == {
        "images": [{"binary": "users", "tags": ["shop/users:1", "shop/users"]}],
        "features": ["a", "b", "c", "d"],
        "default_features": False,
        "profile": "small",
        "toolchain": "nightly",
        "link": "static",
        "directory": "services/users",
        "project": "shop",
        "lineage": "next",
        "parent": "main",
        "reuse": "nothing",
        "verify": True,
        "push": False,
        "check": ["/app/users", "--version", "a b"],
    }


def test_without_options_the_request_says_nothing_that_was_not_asked(cli: Cli, daemon: FakeDaemon, project: Path):
    cli("build", project)

    assert set(daemon.asked[-1]) == {"tree", "images"}
    assert daemon.asked[-1]["images"] == [{"tags": []}]


def test_a_build_that_is_to_be_verified_says_where_that_is_told(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.ending = SUCCEEDED | {"verification": {"result": "waiting"}}

    ran = cli("build", project, "--verify")

    assert (ran.code, ran.out) == (0, "shop/users\n")
    assert "Verifying behind this answer; `bloomery show b1` tells what came of it" in ran.err


def test_a_build_that_was_pushed_says_where_to(cli: Cli, daemon: FakeDaemon, project: Path):
    outcome = SUCCEEDED["outcome"]
    place = f"registry.example/shop/users@sha256:{'1' * 64}"
    daemon.ending = SUCCEEDED | {"outcome": outcome | {"images": [outcome["images"][0] | {"pushed": [place]}]}}

    ran = cli("build", project, "-t", "registry.example/shop/users:1", "--push")

    assert daemon.asked[-1]["push"] is True
    assert f"Pushed {place}" in ran.err


def test_tags_name_their_binaries(cli: Cli, daemon: FakeDaemon, project: Path):
    cli("build", project, "--bin", "api", "-t", "worker=shop/worker:1", "-t", "api=shop/api")

    assert daemon.asked[-1]["images"] == [
        {"binary": "api", "tags": ["shop/api"]},
        {"binary": "worker", "tags": ["shop/worker:1"]},
    ]


def test_bare_tag_with_several_images_is_refused_before_anything_is_sent(cli: Cli, daemon: FakeDaemon, project: Path):
    ran = cli("build", project, "--bin", "a", "--bin", "b", "-t", "shop/x")

    assert ran.code == 2
    assert "-t BINARY=shop/x" in ran.err
    assert daemon.requests == []


def test_token_is_sent(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.token = "s3cret"

    refused, taken = cli("build", project), cli("build", project, BLOOMERY_TOKEN="s3cret")

    assert (refused.code, taken.code) == (2, 0)
    assert "s3cret" not in taken.err + taken.out


# --- how it ends


def test_compile_error_is_the_compilers_own_text_in_colour_on_a_terminal(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.script, daemon.ending = [("diagnostic", DIAGNOSTIC)], FAILED

    ran = cli("build", project, style=Style.FULL)

    assert ran.code == 1
    assert COMPILE_ERROR in ran.err
    assert ran.err.count("mismatched types") == 1
    assert ran.out == ""


@pytest.mark.parametrize("style", [Style.PLAIN, Style.MONOCHROME])
def test_compile_error_has_no_colours_where_there_are_none(cli: Cli, daemon: FakeDaemon, project: Path, style: Style):
    daemon.script, daemon.ending = [("diagnostic", DIAGNOSTIC)], FAILED

    ran = cli("build", project, style=style)

    assert "error[E0308]: mismatched types\n --> src/main.rs:3:5" in ran.err
    assert not ANSI.findall(ran.err.replace("\r\x1b[K", ""))


def test_plain_output_has_no_control_sequences_at_all(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.script = [("stage", {"stage": "cook", "phase": "begin"}), ("compiled", {"done": 1, "total": 9})]

    assert "\x1b" not in cli("build", project).err


def test_live_line_shows_progress_and_is_gone_at_the_end(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.script = [("stage", {"stage": "cook", "phase": "begin"}), ("compiled", {"done": 12, "total": 152})]

    err = cli("build", project, style=Style.FULL).err

    assert "12/152: cook" in err
    assert err.rindex("\r\x1b[K") < err.index("Finished")
    assert "12/152" not in err[err.rindex("\r\x1b[K") :]


def test_what_a_build_prints_cannot_command_the_terminal(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.script = [("log", {"text": "a\x1b[2Jb\x1b]52;c;aGk=\x07c\x1b[31md\x1b[0m\x08\x9b1;1He"})]

    assert "abc\x1b[31md\x1b[0m1;1He\n" in cli("build", project, style=Style.FULL).err


def test_note_is_told_once(cli: Cli, daemon: FakeDaemon, project: Path):
    done = outcome()
    done["reuse"]["notes"] = ["clippy is ignored", "a lock was made"]
    daemon.ending = SUCCEEDED | {"outcome": done}
    daemon.script = [("note", {"text": "clippy is ignored"})]

    err = cli("build", project).err

    assert (err.count("note: clippy is ignored"), err.count("note: a lock was made")) == (1, 1)


def test_diagnostics_that_were_no_events_are_shown_from_the_record(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.ending = FAILED

    assert "error[E0308]: mismatched types" in cli("build", project).err


@pytest.mark.parametrize(("blame", "code"), [("source", 1), ("request", 2), ("limit", 3), ("infrastructure", 3)])
def test_exit_code_tells_whose_turn_it_is(cli: Cli, daemon: FakeDaemon, project: Path, blame: str, code: int):
    daemon.ending = {"state": "failed", "failure": failure("some_kind", blame, offered=["1.95", "nightly"])}

    ran = cli("build", project)

    assert ran.code == code
    assert "The source does not compile" in ran.err
    assert "offered: 1.95, nightly" in ran.err
    assert "(some_kind)" in ran.err


def test_failed_build_with_json_still_prints_its_record(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.ending = FAILED

    ran = cli("build", project, "--json")

    assert (ran.code, json.loads(ran.out)["failure"]["kind"]) == (1, "compile_failed")


def test_build_that_somebody_cancelled_is_no_success(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.ending = {"state": "cancelled"}

    ran = cli("build", project)

    assert ran.code == 3
    assert "b1 was cancelled" in ran.err


@pytest.mark.parametrize(
    ("blame", "kind", "code"),
    [("request", "unknown_toolchain", 2), ("source", "bad_manifest", 1), ("limit", "queue_full", 3)],
)
def test_refused_request_says_what_to_do(  # noqa: PLR0917 - fixtures and parameters
    cli: Cli, daemon: FakeDaemon, project: Path, blame: str, kind: str, code: int
):
    daemon.refuse = Refusal(kind, "do this\nor that", blame, offered=["stable"])

    ran = cli("build", project)

    assert ran.code == code
    assert "  do this\n  or that\n  offered: stable\n" in ran.err
    assert ran.out == ""


def test_refused_request_with_json_is_a_problem_on_stdout(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.refuse = Refusal("queue_full", "wait a little", "limit", waiting=64)

    problem = json.loads(cli("build", project, "--json").out)["problem"]

    assert (problem["kind"], problem["blame"], problem["evidence"]) == ("queue_full", "limit", {"waiting": 64})


def test_no_daemon_says_how_to_start_one(cli: Cli, project: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]

    ran = cli("build", project, BLOOMERY_URL=f"http://127.0.0.1:{free}")

    assert ran.code == 3
    assert "bloomery serve" in ran.err
    assert "BLOOMERY_URL" in ran.err
    assert f":{free}: Connection refused\n" in ran.err
    assert "Errno" not in ran.err


@pytest.mark.parametrize("url", ["127.0.0.1:7878", "ftp://host", "http://", "http://host:port"])
def test_url_that_is_none_is_a_usage_error(cli: Cli, project: Path, url: str):
    ran = cli("build", project, BLOOMERY_URL=url)

    assert ran.code == 2
    assert "BLOOMERY_URL" in ran.err


def test_a_token_that_no_request_can_carry_is_told(cli: Cli, project: Path):
    ran = cli("build", project, BLOOMERY_TOKEN="two\nlines")

    assert ran.code == 2
    assert "BLOOMERY_TOKEN" in ran.err
    assert "lines" not in ran.err


@pytest.mark.parametrize(("path", "asked"), [("/elsewhere", "/elsewhere"), ("/not ascii ö", "/not%20ascii%20%C3%B6")])
def test_something_else_at_the_url_is_said_to_be_no_daemon(
    cli: Cli, daemon: FakeDaemon, project: Path, path: str, asked: str
):
    ran = cli("build", project, BLOOMERY_URL=daemon.url + path)

    assert ran.code == 2
    assert f"{asked}/v1/builds" in ran.err


# --- connections that break


def test_cut_stream_of_events_goes_on_where_it_was(cli: Cli, daemon: FakeDaemon, project: Path):
    daemon.script = [("log", {"text": f"line {number}"}) for number in range(6)]
    daemon.cut_after = [3, 0, 2]

    ran = cli("build", project)

    assert ran.code == 0
    assert re.findall(r"line \d", ran.err) == [f"line {number}" for number in range(6)]
    assert daemon.requests.count("GET /v1/builds/b1/events") == 4


def test_kept_connection_that_was_closed_is_opened_again_and_asks_with_the_same_key(daemon: FakeDaemon, project: Path):
    with Client(daemon.url) as client:
        client.builds()
        daemon.drop_requests = 1

        assert client.builds() == {"builds": [], "next": None}


def test_daemon_that_stays_away_is_given_up_with_the_way_back(daemon: FakeDaemon):
    build = daemon.new_build({"tree": ""})
    daemon.cut_after = [0] * 100

    with Client(daemon.url, patience=0.2) as client, pytest.raises(Exception, match=f"bloomery logs -f {build['id']}"):
        list(client.events(build["id"]))


def test_file_that_changes_under_the_upload_is_named(
    cli: Cli, daemon: FakeDaemon, project: Path, monkeypatch: pytest.MonkeyPatch
):
    def late(client: Client, worktree: Worktree, console: Console) -> None:
        (project / "src/main.rs").write_text("fn mine() {}\n")
        upload(client, worktree, console)

    monkeypatch.setattr("api.client.uploading.upload", late)

    ran = cli("build", project)

    assert ran.code == 2
    assert "src/main.rs" in ran.err


def test_file_that_shrinks_under_the_upload_is_named(
    cli: Cli, daemon: FakeDaemon, project: Path, monkeypatch: pytest.MonkeyPatch
):
    def late(client: Client, worktree: Worktree, console: Console) -> None:
        (project / "src/main.rs").write_text("")
        upload(client, worktree, console)

    monkeypatch.setattr("api.client.uploading.upload", late)

    ran = cli("build", project)

    assert ran.code == 2
    assert "src/main.rs" in ran.err


# --- Ctrl-C, in a process of its own


def _interrupted(
    process: Start, daemon: FakeDaemon, project: Path, *options: str, **environment: str
) -> tuple[int, str, str]:
    daemon.hold_after = 2
    started = process("build", project, *options, **environment)
    line = ""
    while "Compiling" not in line:  # so the command is following
        line = started.stderr.readline()
        assert line
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=20)
    return started.returncode, out, err


def test_interrupt_detaches_and_says_how_to_cancel(process: Start, daemon: FakeDaemon, project: Path):
    code, out, err = _interrupted(process, daemon, project)

    assert (code, out) == (130, "")
    assert "Detached build b1 goes on" in err
    assert "bloomery cancel b1" in err
    assert "--cancel-on-interrupt" in err
    assert daemon.builds["b1"]["state"] == "running"


@pytest.mark.parametrize(
    ("options", "variables"), [(["--cancel-on-interrupt"], {}), ([], {"BLOOMERY_ON_INTERRUPT": "cancel"})]
)
def test_interrupt_cancels_where_that_was_asked(
    process: Start, daemon: FakeDaemon, project: Path, options: list[str], variables: dict[str, str]
):
    code, out, err = _interrupted(process, daemon, project, *options, **variables)

    assert (code, out) == (130, "")
    assert "Cancelled build b1" in err
    assert daemon.builds["b1"]["state"] == "cancelled"


def test_process_prints_only_the_reference_and_no_colours_into_a_pipe(process: Start, project: Path):
    out, err = process("build", project).communicate(timeout=20)

    assert out == "shop/users\n"
    assert "Finished" in err
    assert "\x1b" not in err


def test_reading_that_takes_long_is_said(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch):
    assert "Reading" not in cli("build", project).err

    monkeypatch.setattr(source, "_PATIENCE_SECONDS", 0.0)
    (project / "src/main.rs").write_text("fn main() { }\n")

    assert "Reading 1 file so far" in cli("build", project).err


def test_a_directory_that_is_too_large_is_refused_before_anything_is_sent(
    cli: Cli, daemon: FakeDaemon, project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(source, "Bounds", lambda: Bounds(entries=1))

    ran = cli("build", project)

    assert (ran.code, daemon.requests) == (3, [])
    assert "(upload_too_large)" in ran.err
    assert cli("build", project, "--any-size").code == 0
