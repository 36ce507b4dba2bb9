"""The stopped container in which a lineage's next compile goes on: kept over restarts, and never guessed about.

One daemon with its own state directory. A build script that sleeps is a compile in the middle.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Leftovers
from tests.e2e.conftest import remember
from tests.e2e.service import Json, Service, running
from tests.fakes.crates import Files, lock, manifest, printing
from tests.fakes.docker import docker, run

pytestmark = pytest.mark.engine

NAME = "bloomery-e2e-workspaces"
TAG = f"{NAME}:1"


def saying(text: str, *, after: float = 0) -> Files:
    """A crate that prints a text, and whose build script sleeps for so many seconds."""
    return {
        "Cargo.toml": manifest(NAME),
        "Cargo.lock": lock({NAME: []}),
        "build.rs": f"fn main() {{ std::thread::sleep(std::time::Duration::from_millis({int(after * 1000)})); }}\n",
        "src/main.rs": printing(text),
    }


def rung(record: Json) -> str:
    return str(record["outcome"]["reuse"]["rung"])


def why(record: Json, rung: str) -> str:
    return next(refusal["why"] for refusal in record["outcome"]["reuse"]["refusals"] if refusal["rung"] == rung)


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, service_at: Callable[[Path, str], Service], leftovers: Leftovers
) -> Iterator[Service]:
    """Tests stop and start it."""
    made = service_at(tmp_path_factory.mktemp("alone"), "")
    with running(made):
        yield made
        remember(made, leftovers)


@pytest.fixture
def workspace(alone: Service, request: pytest.FixtureRequest) -> str:
    """The container that a build of the lineage `main` has left, the only one."""
    alone.build(saying(f"before {request.node.name}"), tag=TAG)
    (left,) = alone.containers()
    assert alone.workspaces() == [left]
    return left


def test_an_edit_is_compiled_in_it_and_it_stays(alone: Service, workspace: str):
    edited = alone.build(saying("edited"), tag=TAG)
    assert (rung(edited), run(TAG)) == ("workspace", "edited")
    assert alone.containers() == alone.workspaces() == [workspace]


def test_another_daemon_on_the_state_directory_goes_on_in_it(alone: Service, workspace: str):
    alone.stop()
    assert alone.containers() == [workspace]
    alone.start()
    edited = alone.build(saying("after the restart"), tag=TAG)
    assert (rung(edited), run(TAG)) == ("workspace", "after the restart")
    assert alone.containers() == [workspace]


def test_after_a_crash_in_it_the_build_is_made_from_the_layer_and_the_container_is_gone(alone: Service, workspace: str):
    build = alone.accept(saying("after the crash", after=3), tag=TAG)["id"]
    alone.compiling(build)
    assert alone.containers("--filter", "status=running") == [workspace]
    alone.kill()
    alone.start()
    ended = alone.ended(build)
    assert (ended["state"], ended["attempt"], rung(ended)) == ("succeeded", 2, "layer")
    assert run(TAG) == "after the crash"
    assert workspace not in alone.containers()
    assert alone.containers() == alone.workspaces()


def test_a_build_cancelled_in_it_takes_it_away(alone: Service, workspace: str):
    build = alone.accept(saying("cancelled", after=300))["id"]
    alone.compiling(build)
    assert alone.ask("DELETE", f"/v1/builds/{build}").json["state"] == "cancelled"
    assert alone.containers() == alone.workspaces() == []
    assert rung(alone.build(saying("after the cancellation"), tag=TAG)) == "layer"


def test_sources_that_do_not_compile_leave_it_to_the_build_that_mends_them(alone: Service, workspace: str):
    broken = saying("") | {"src/main.rs": 'fn main() { let x: u8 = "text"; }\n'}
    ended = alone.ended(alone.accept(broken)["id"])
    assert (ended["state"], ended["failure"]["kind"]) == ("failed", "compile_failed")
    assert alone.containers() == alone.workspaces() == [workspace]
    mended = alone.build(saying("mended"), tag=TAG)
    assert (rung(mended), run(TAG)) == ("workspace", "mended")


def test_sources_of_a_new_lineage_that_do_not_compile_leave_nothing(alone: Service, workspace: str):
    broken = saying("") | {"src/main.rs": 'fn main() { let x: u8 = "more text"; }\n'}
    ended = alone.ended(alone.accept(broken, lineage="broken", parent="nobody")["id"])
    assert (ended["state"], ended["failure"]["kind"]) == ("failed", "compile_failed")
    assert alone.containers() == [workspace]


@pytest.mark.parametrize(
    "meddle",
    [
        lambda workspace: docker("rm", workspace),
        lambda workspace: docker("start", "--attach", workspace),
    ],
    ids=["removed", "run"],
)
def test_one_that_somebody_has_touched_is_not_used_and_a_note_says_so(
    alone: Service, workspace: str, meddle: Callable[[str], str]
):
    meddle(workspace)
    edited = alone.build(saying(f"after somebody touched {workspace}"), tag=TAG)
    assert (rung(edited), why(edited, "workspace")) == ("layer", "pruned")
    told = alone.ask("GET", f"/v1/builds/{edited['id']}/events").text
    assert "The workspace of this lineage is in use or gone; compiling over the layer." in told
    assert run(TAG) == f"after somebody touched {workspace}"
    assert workspace not in alone.containers()
    assert len(alone.containers()) == 1
    assert alone.containers() == alone.workspaces()


def test_what_is_beyond_the_bounds_goes(alone: Service, workspace: str):
    alone.stop()
    settings = alone.config.read_text()
    alone.config.write_text(f"{settings}[workspaces]\ncount = 1\n")
    alone.start()
    assert rung(alone.build(saying("elsewhere"), lineage="elsewhere", tag=TAG)) == "layer"
    assert len(alone.containers()) == 1
    assert alone.containers() == alone.workspaces()
    alone.stop()
    alone.config.write_text(settings)
    alone.start()
