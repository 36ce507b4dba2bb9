"""Builds that are cut short, and daemons that are: what was accepted comes to an end, and nothing is left behind.

One daemon with its own state directory, one build at a time. A build script that sleeps is a compile in the middle.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Leftovers
from tests.e2e.conftest import remember
from tests.e2e.service import ROOT, Json, Service, running, until
from tests.fakes.crates import Files, lock, manifest, printing
from tests.fakes.docker import docker, run

pytestmark = pytest.mark.engine

NAME = "bloomery-e2e-lifecycle"


def sleeping(seconds: float, text: str = "awake") -> Files:
    """A crate whose image can be told by its label, whatever became of its tags."""
    return {
        "bloomery.toml": f'[image]\nlabels = {{ {NAME} = "{text}" }}\n',
        "Cargo.toml": manifest(NAME),
        "Cargo.lock": lock({NAME: []}),
        "build.rs": f"fn main() {{ std::thread::sleep(std::time::Duration::from_millis({int(seconds * 1000)})); }}\n",
        "src/main.rs": printing(text),
    }


def images(text: str) -> list[str]:
    """The ids of the images of this crate, tagged or not."""
    return docker("images", "--all", "--quiet", "--no-trunc", "--filter", f"label={NAME}={text}").split()


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory,
    service_at: Callable[[Path, str], Service],
    leftovers: Leftovers,
) -> Iterator[Service]:
    """Started with its layer cooked, so that what follows compiles at once; tests stop and start it."""
    made = service_at(tmp_path_factory.mktemp("alone"), "[builds]\nconcurrent = 1\nqueue = 3\n")
    with running(made):
        made.build(sleeping(0))
        yield made
        remember(made, leftovers)


def test_a_build_cancelled_in_the_middle_leaves_no_container_and_no_image(alone: Service):
    build = alone.accept(sleeping(300, "cancelled"), tag=f"{NAME}-cancelled:1")["id"]
    alone.compiling(build)
    answer = alone.ask("DELETE", f"/v1/builds/{build}")
    assert (answer.status, answer.json["state"]) == (200, "cancelled")
    assert alone.strays() == []
    assert images("cancelled") == []
    assert alone.record(build)["outcome"] is None
    assert alone.ask("GET", f"/v1/builds/{build}/image").json["kind"] == "not_ready"


def test_a_build_cancelled_while_it_waits_never_starts_and_a_full_queue_refuses(alone: Service):
    first = alone.accept(sleeping(300))["id"]
    alone.compiling(first)
    waiting = [alone.accept(sleeping(0, f"waits {number}"))["id"] for number in range(3)]
    refused = alone.post(sleeping(0, "one too many"))
    assert (refused.status, refused.json["kind"]) == (429, "queue_full")
    for build in [*waiting, first]:
        assert alone.ask("DELETE", f"/v1/builds/{build}").json["state"] == "cancelled"
    assert [alone.record(build)["started_at"] for build in waiting] == [None] * 3
    assert alone.strays() == []


def test_a_second_daemon_on_one_state_directory_is_refused(alone: Service):
    second = subprocess.run(alone.command(), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 3
    assert "is held by the daemon with process id" in second.stderr
    assert alone.ask("GET", "/healthz").status == 200


def test_after_a_crash_accepted_builds_come_to_their_end_and_its_containers_are_gone(alone: Service):
    crashed = alone.accept(sleeping(2, "after the crash"), tag=f"{NAME}-crashed:1")["id"]
    alone.compiling(crashed)
    queued = alone.accept(sleeping(0, "was waiting"), tag=f"{NAME}-queued:1")["id"]
    alone.kill()
    assert alone.strays() != []
    alone.start()
    assert (alone.ended(crashed)["state"], alone.ended(queued)["state"]) == ("succeeded", "succeeded")
    assert alone.record(crashed)["attempt"] == 2
    assert (run(f"{NAME}-crashed:1"), run(f"{NAME}-queued:1")) == ("after the crash", "was waiting")
    assert alone.containers() == alone.workspaces()
    assert images("after the crash") == [alone.record(crashed)["outcome"]["images"][0]["image_id"]]


def verification(service: Service, build: str) -> Json:
    found: Json = service.record(build)["verification"]
    return found


def test_a_build_is_built_again_clean_behind_its_answer_and_its_record_tells(alone: Service):
    build = alone.build(sleeping(0, "verified"), verify="true")
    assert build["outcome"]["reuse"]["rung"] == "workspace"
    until(lambda: verification(alone, build["id"])["result"] != "waiting", "it is verified")
    assert verification(alone, build["id"])["result"] == "equal"
    assert alone.metrics()['bloomery_verifications_total{result="equal"}'] == 1
    assert "verify     equal" in alone.cli("show", build["id"]).stdout
    assert alone.strays() == []


def test_a_clean_build_that_a_crash_cuts_off_leaves_nothing_and_is_dropped(alone: Service):
    build = alone.build(sleeping(2, "verified in vain"), verify="true")["id"]
    until(lambda: alone.containers("--filter", f"label=bloomery.build={build}-verify-1"), "it is built again")
    alone.kill()
    assert alone.strays() != []
    alone.start()
    until(lambda: verification(alone, build)["result"] != "waiting", "it is dropped")
    assert verification(alone, build)["result"] == "dropped"
    until(lambda: alone.metrics()['bloomery_verifications_total{result="dropped"}'] == 1, "that is counted")
    alone.build(sleeping(0, "after it"))
    assert alone.strays() == []
    assert docker("images", "--quiet", "bloomery/clean") == ""


def test_what_a_crash_left_in_the_events_goes_on_in_one_numbering(alone: Service):
    record = next(build for build in alone.ask("GET", "/v1/builds").json["builds"] if build["attempt"] == 2)
    lines = alone.ask("GET", f"/v1/builds/{record['id']}/events", headers={"Accept": "application/x-ndjson"}).text
    numbers = [int(line.partition('"number":')[2].partition(",")[0]) for line in lines.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_sigterm_lets_a_running_build_end_and_keeps_the_queue(alone: Service):
    running_build = alone.accept(sleeping(3, "drained"))["id"]
    alone.compiling(running_build)
    waiting = alone.accept(sleeping(0, "waited for the next daemon"))["id"]
    alone.terminate()
    assert alone.left() == 0
    assert alone.containers() == alone.workspaces()
    assert docker("ps", "--quiet", "--filter", f"label=bloomery.build={running_build}") == ""
    alone.start()
    ended = alone.record(running_build)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1)
    assert alone.ended(waiting)["state"] == "succeeded"
