"""What suites on the real engine share: an engine that must be there, one probe of the toolchain, and tidying up."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from daemon.engine.docker import DockerEngine
from daemon.toolchains import record
from daemon.toolchains.probe import probe
from daemon.toolchains.toolchain import CANARY
from daemon.units.layout import Layout
from tests.fakes.docker import docker
from tests.fakes.layouts import NEW_LAYOUT

collect_ignore = ["fleet"]  # it takes half an hour: `make test-fleet` names it
TOOLCHAIN = "bloomery/toolchain:stable"
_LAWS = "tests/caching/"
"""Its daemons share nothing with those of the other suites: neither instances nor images."""
_LONG_LAWS = tuple(f"{_LAWS}test_{name}.py" for name in ("units_rung", "verify", "workspace_machine", "yard"))
"""A half of that suite, in time, whose projects no other file of it has."""
_WITHOUT_ENGINE = ("tests/unit/", "tests/hostile/")

# No test has a clock: on a busy machine any example may take long.
hypothesis.settings.register_profile("bloomery", deadline=None)
hypothesis.settings.load_profile("bloomery")


class _Suites(LoadScopeScheduling):
    """Where two run at once: a suite's tests on the engine go one after another, for they look at what is in it.

    All else goes by files, whose fixtures are made once.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path.startswith(_WITHOUT_ENGINE):
            return path
        if path.startswith(_LONG_LAWS):
            return "long laws"
        return _LAWS if path.startswith(_LAWS) else "engine"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Suites:
    return _Suites(config, log)


@dataclass(slots=True)
class Leftovers:
    """What a session has put into the engine: all that carries its instances' labels, and the images it built."""

    instances: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)

    def clear(self) -> None:
        """Take it away; what others use stays."""
        for instance in self.instances:
            label = f"label=bloomery.instance={instance}"
            if containers := docker("ps", "--all", "--quiet", "--filter", label).split():
                docker("rm", "--force", *containers)
            if images := docker("images", "--quiet", "--no-trunc", "--filter", label).split():
                docker("rmi", "--force", *dict.fromkeys(images))  # the newest first: it may stand on an older one
        for image in self.images:
            subprocess.run(["docker", "rmi", "--force", image], capture_output=True, check=False)


@pytest.fixture(scope="session")
def engine() -> str:
    """The toolchain image's id in an engine that answers; without either, the test fails and says what to do."""
    try:
        docker("version", "--format", "{{.Server.Version}}")
    except (OSError, AssertionError) as error:
        pytest.fail(f"no container engine answers, and this test needs one: run `make engine` ({error})")
    try:
        return docker("image", "inspect", "--format", "{{.Id}}", TOOLCHAIN)
    except AssertionError:
        pytest.fail(f"the engine has no image {TOOLCHAIN}, which this test builds in: run `make toolchain`")


@pytest.fixture(scope="session")
def leftovers(engine: str) -> Iterator[Leftovers]:
    found = Leftovers()
    yield found
    found.clear()


@pytest.fixture(scope="session")
def toolchain_facts(engine: str) -> tuple[str, bytes]:
    """The image id and what a daemon keeps of a probe, made once for all state directories of a session."""

    async def ask() -> bytes:
        async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as connection:
            facts = await probe(connection.sandboxes, connection.images, TOOLCHAIN)
            # A test that wants a trial makes one.
            return record.write(replace(facts, canary=CANARY))

    return engine, asyncio.run(ask())


@pytest.fixture(scope="session")
def new_layout(toolchain_facts: tuple[str, bytes]) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """A toolchain image whose cargo has layout v2, by its environment alone; its image id, and what is kept of it."""
    reference = f"bloomery-e2e/toolchain:v2-{os.getpid()}"
    image, written = toolchain_facts
    container = docker("create", image, "true")
    try:
        changes = [f"--change=ENV {name}={value}" for name, value in NEW_LAYOUT.items()]
        made = docker("commit", *changes, container, reference)
    finally:
        docker("rm", container)
    facts = record.read(written, image)
    assert facts is not None
    yield reference, (made, record.write(replace(facts, image_id=made, layout=Layout.V2)))
    docker("rmi", reference)
