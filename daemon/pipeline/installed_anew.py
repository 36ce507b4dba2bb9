"""Installs every package of an environment again, with nothing reused and nothing kept on record."""

from daemon.pipeline.attempt import Attempt
from daemon.pipeline.clean import MadeAnew
from daemon.pipeline.compilation import Planned
from daemon.pipeline.installed_ground import Installed, InstalledGround, environment_of


class InstalledAnew:
    """An `Anew` for languages whose packages are installed."""

    def __init__(self, ground: InstalledGround) -> None:
        self._ground = ground

    async def made(self, planned: Planned, attempt: Attempt) -> MadeAnew:
        """The environment."""
        project, of = planned.installed, planned.plan.packages
        assert of is not None
        packages = await self._ground.installed(project, of.names, attempt)
        environment = environment_of(of, packages)
        return MadeAnew(made=Installed(environment=environment, application=project.application, spent={}, reused=()))

    async def ended(self) -> None:
        """Nothing is left."""
