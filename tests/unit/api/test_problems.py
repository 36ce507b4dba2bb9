import importlib
import pkgutil
import re
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

import pytest

import api
import cache
import daemon
from api.errors import MethodNotAllowed, Unauthorized
from api.problems import STATUS_OF_KIND, failure_classes, failure_from, headers_of, problem_of, status_of
from cache.errors import Blame, Failure, NoSpace
from daemon.builds import BuildFailure
from daemon.errors import CompileFailed, EngineUnavailable, QueueFull, UnknownBuild

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def every_kind() -> dict[str, type[Failure]]:
    """All kinds of all failures that the code has."""
    for package in (cache, daemon, api):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    kinds: dict[str, type[Failure]] = {}
    for one in failure_classes():
        if one.__module__.partition(".")[0] in {"api", "daemon", "cache"}:
            kinds.setdefault(one.kind, one)
    return kinds


def documented() -> dict[str, tuple[str, str, str]]:
    """Blame, status and title of each kind in docs/errors.md."""
    rows, blame = {}, ""
    for line in (ROOT / "docs/errors.md").read_text().splitlines():
        if heading := re.fullmatch(r"## .*`(\w+)`", line):
            blame = heading[1]
        elif row := re.fullmatch(r"\| `(\w+)` \| (\S+) \| (.+?) \| (.+) \|", line):
            rows[row[1]] = (blame, row[2], row[3])
    return rows


def test_every_kind_is_documented_with_its_blame_status_and_title(every_kind: dict[str, type[Failure]]):
    rows = documented()
    assert sorted(every_kind) == sorted(rows)
    for kind, one in every_kind.items():
        blame, status, title = rows[kind]
        assert (blame, title) == (str(one.blame), one.title), kind
        assert status in {"-", str(int(status_of(one)))}, kind


def test_classes_of_one_kind_agree_and_say_whose_turn_it_is(every_kind: dict[str, type[Failure]]):
    for one in failure_classes():
        if one.kind in every_kind:
            assert (one.title, one.blame) == (every_kind[one.kind].title, every_kind[one.kind].blame), one
        assert re.fullmatch(r"[a-z][a-z0-9_]*", one.kind), one
        assert one.title[-1] != ".", one


def test_every_status_that_is_set_apart_is_of_a_kind_that_exists(every_kind: dict[str, type[Failure]]):
    assert set(STATUS_OF_KIND) <= set(every_kind)


def test_a_status_never_contradicts_the_blame(every_kind: dict[str, type[Failure]]):
    for one in every_kind.values():
        faulty = status_of(one) >= HTTPStatus.INTERNAL_SERVER_ERROR
        assert faulty == (one.blame is Blame.INFRASTRUCTURE), one


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (UnknownBuild("x"), 404),
        (CompileFailed("x"), 422),
        (QueueFull("x"), 429),
        (NoSpace("x"), 507),
        (EngineUnavailable("x"), 503),
        (Failure("x"), 500),
    ],
)
def test_what_a_failure_is_answered_with(failure: Failure, status: int):
    assert status_of(failure) == status


def test_a_failure_and_its_problem_are_each_other_s():
    failure = UnknownBuild("No build has this id", build="b1")
    problem = problem_of(failure, "/v1/builds/b1")
    assert problem == {
        "type": "urn:bloomery:problem:unknown_build",
        "title": "There is no such build",
        "status": 404,
        "detail": "No build has this id",
        "kind": "unknown_build",
        "blame": "request",
        "evidence": {"build": "b1"},
        "instance": "/v1/builds/b1",
    }
    again = failure_from(problem)
    assert (type(again), again.detail, again.evidence) == (UnknownBuild, failure.detail, failure.evidence)


def test_a_kind_that_nobody_here_knows_keeps_its_words():
    failure = failure_from(
        {"kind": "of_the_future", "title": "Not yet", "blame": "limit", "detail": "wait", "evidence": {"detail": 3}}
    )
    assert (failure.kind, failure.title, failure.blame, failure.detail) == ("of_the_future", "Not yet", "limit", "wait")
    assert failure.evidence == {"detail": 3}
    assert problem_of(failure)["status"] == 413


@pytest.mark.parametrize(
    ("problem", "kind", "blame"),
    [
        ({}, "internal", Blame.INFRASTRUCTURE),
        ({"type": "urn:bloomery:problem:unknown_build"}, "unknown_build", Blame.REQUEST),
        ({"kind": "http_error", "status": 404}, "http_error", Blame.REQUEST),
        ({"kind": "http_error", "status": 502, "blame": "nobody"}, "http_error", Blame.INFRASTRUCTURE),
        ({"kind": 7, "detail": None, "title": [], "evidence": "?", "status": "x"}, "7", Blame.INFRASTRUCTURE),
    ],
)
def test_whatever_answered_there_is_something_to_show(problem: dict[str, object], kind: str, blame: Blame):
    failure = failure_from(problem)
    assert (failure.kind, failure.blame) == (kind, blame)
    assert failure.detail
    assert failure.title


def test_a_build_s_failure_is_read_like_a_problem():
    stored = BuildFailure(kind="compile_failed", title="t", detail="d", blame="source", evidence={"a": 1})
    failure = failure_from({name: getattr(stored, name) for name in BuildFailure.__slots__})
    assert (type(failure), failure.evidence) == (CompileFailed, {"a": 1})


@pytest.mark.parametrize(
    ("failure", "headers"),
    [
        (Unauthorized("x"), {"WWW-Authenticate": 'Bearer realm="bloomery"'}),
        (MethodNotAllowed("x", allowed=["GET", "PUT"]), {"Allow": "GET, PUT"}),
        (QueueFull("x"), {"Retry-After": "5"}),
        (QueueFull("x", retry_after=0.2), {"Retry-After": "1"}),
        (EngineUnavailable("x", retry_after=12.6), {"Retry-After": "13"}),
        (UnknownBuild("x"), {}),
    ],
)
def test_headers_that_belong_to_a_problem(failure: Failure, headers: dict[str, str]):
    assert headers_of(failure) == headers


def test_the_client_s_side_loads_nothing_heavy():
    program = "import sys, api.problems, api.errors; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"aiohttp", "msgspec", "structlog", "asyncio"} & set(loaded.stdout.split())
