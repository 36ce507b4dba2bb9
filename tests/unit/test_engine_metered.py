from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from daemon.engine.engine import Limits, SandboxSpec
from daemon.engine.metered import MeteredEngine
from daemon.errors import EngineRefused, EngineUnavailable, ImageGone, NoSpace
from tests.fakes.engine import FakeEngine

SPEC = SandboxSpec(name="s", image="i", command=("/bin/true",))


class Rig:
    def __init__(self) -> None:
        self.bare = FakeEngine()
        self.failed: list[str] = []
        bare = self.bare
        self.engine = MeteredEngine(bare.sandboxes, bare.images, bare.survey, self.failed.append)


async def nothing() -> AsyncGenerator[bytes, None]:
    yield b""


async def read(pieces: AsyncGenerator[bytes, None]) -> None:
    async for _ in pieces:
        pass


CALLS: dict[str, tuple[str, Callable[[MeteredEngine], Awaitable[object]]]] = {
    "create": ("create", lambda engine: engine.sandboxes.create(SPEC)),
    "put": ("put", lambda engine: engine.sandboxes.put("s", nothing())),
    "run": ("run", lambda engine: engine.sandboxes.run("s", lambda *_: None, Limits())),
    "get": ("get", lambda engine: read(engine.sandboxes.get("s", "/"))),
    "commit": ("commit", lambda engine: engine.images.commit("s", "r", {})),
    "isolate": ("isolate", lambda engine: engine.sandboxes.isolate("s")),
    "remove": ("remove", lambda engine: engine.sandboxes.remove("s")),
    "inspect": ("inspect", lambda engine: engine.images.inspect("i")),
    "load": ("load", lambda engine: engine.images.load(nothing())),
    "import_root": ("import_root", lambda engine: engine.images.import_root(nothing(), "r", ())),
    "tag": ("tag", lambda engine: engine.images.tag("i", "r")),
    "info": ("info", lambda engine: engine.survey.info()),
    "sandboxes": ("sandboxes", lambda engine: engine.survey.sandboxes({})),
    "sandbox": ("sandbox", lambda engine: engine.survey.sandbox("s")),
    "images": ("images", lambda engine: engine.survey.images({})),
    "pull": ("pull", lambda engine: engine.survey.pull("r")),
}


@pytest.mark.parametrize("failure", [EngineUnavailable("x"), EngineRefused("x"), NoSpace("x")], ids=lambda f: f.kind)
@pytest.mark.parametrize("method", CALLS)
async def test_a_failure_of_the_engine_is_counted_by_its_method_and_goes_on(method: str, failure: Exception):
    rig = Rig()
    operation, call = CALLS[method]
    rig.bare.fail(method, failure)
    with pytest.raises(type(failure)):
        await call(rig.engine)
    assert rig.failed == [operation]


async def test_what_is_no_failure_of_the_engine_s_is_not_counted():
    rig = Rig()
    with pytest.raises(ImageGone):
        await rig.engine.sandboxes.create(SPEC)
    assert await rig.engine.images.inspect("nothing") is None
    assert rig.failed == []
