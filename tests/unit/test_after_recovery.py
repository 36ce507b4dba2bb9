import asyncio

import pytest

from daemon.after_recovery import AfterRecovery
from daemon.builds import Build, BuildRequest, BuildState, Outcome
from daemon.errors import EngineUnavailable
from daemon.events import Progress
from daemon.recovery import Reaped

BUILD = Build(id="b", sequence=1, request=BuildRequest(tree="t"), state=BuildState.RUNNING, created_at=0.0)


class Happenings:
    """A runner and a reaper that note what happens in which order."""

    def __init__(self, *failures: Exception) -> None:
        self.log: list[str] = []
        self.failures = list(failures)

    async def run(self, build: Build, progress: Progress) -> Outcome:
        self.log.append("run")
        return None  # type: ignore[return-value]

    async def reap(self) -> Reaped:
        self.log.append("reap")
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return Reaped()


async def test_many_builds_wait_for_one_recovery():
    happenings = Happenings()
    runner = AfterRecovery(happenings, happenings)
    await asyncio.gather(*(runner.run(BUILD, None) for _ in range(3)))  # type: ignore[arg-type]
    assert happenings.log == ["reap", "run", "run", "run"]


async def test_no_build_runs_before_the_engine_could_be_asked():
    happenings = Happenings(EngineUnavailable("start it"))
    runner = AfterRecovery(happenings, happenings)
    with pytest.raises(EngineUnavailable):
        await runner.run(BUILD, None)  # type: ignore[arg-type]
    await runner.run(BUILD, None)  # type: ignore[arg-type]
    assert happenings.log == ["reap", "reap", "run"]
