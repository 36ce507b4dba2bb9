"""One attempt at a build, as every stage sees it: what was asked, where to run steps, whom to tell."""

from dataclasses import dataclass

from daemon.builds import Build, BuildRequest
from daemon.events import Progress
from daemon.pipeline.publish import Publishing
from daemon.pipeline.sandboxes import BuildSandboxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The build, its sandboxes, its progress, and the images that it brings into the engine."""

    build: Build
    sandboxes: BuildSandboxes
    progress: Progress
    publishing: Publishing

    @property
    def request(self) -> BuildRequest:
        """What was asked."""
        return self.build.request
