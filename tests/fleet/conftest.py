import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TOOLCHAIN, Leftovers
from tests.e2e.conftest import remember
from tests.e2e.service import Service, running
from tests.fakes.docker import docker
from tests.fleet.examples import EXAMPLES
from tests.fleet.fleet import Fleet, Launch, table

SETTINGS = f"""
[toolchains]
default = "stable"
[toolchains.images]
stable = "{TOOLCHAIN}"
nightly = "{TOOLCHAIN}"
[log]
format = "text"
[verify]
rate = 0
"""
"""`users` picks nightly; which compiler that is makes no difference to what is proved here."""
STAND_INS = ("bloomery/stand-in:database", "bloomery/stand-in:smtp")
LAUNCHES = pytest.StashKey[list[Launch]]()


@pytest.fixture(scope="session")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, engine: str, leftovers: Leftovers, pytestconfig: pytest.Config
) -> Iterator[Fleet]:
    for image in STAND_INS:
        assert docker("images", "--quiet", image), f"the engine has no image {image}: run `make stand-ins`"
    place = tmp_path_factory.mktemp("fleet")
    shutil.copytree(EXAMPLES, place / "examples", ignore=shutil.ignore_patterns("target"))
    with running(Service(place, SETTINGS)) as service:
        leftovers.instances.add(service.instance)
        started = Fleet(service, place / "examples")
        pytestconfig.stash[LAUNCHES] = started.launches
        yield started
        remember(service, leftovers)


@pytest.fixture
def copy(fleet: Fleet, tmp_path: Path) -> Path:
    """The examples once more, for a test that edits them."""
    return Path(shutil.copytree(fleet.examples, tmp_path / "examples"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the images weigh, at the end of every run."""
    if launches := config.stash.get(LAUNCHES, []):
        terminalreporter.section("the fleet")
        for line in table(launches):
            terminalreporter.write_line(line)
