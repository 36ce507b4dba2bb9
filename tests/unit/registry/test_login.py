"""To whom the daemon says who it is, and to whom not."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from daemon.errors import PushDenied
from daemon.registry.connection import Call, RegistryConnection
from daemon.registry.login import Credentials, Login

US = Credentials(user="builder", password="secret")


class Elsewhere:
    """A server that notes what it is told."""

    def __init__(self) -> None:
        self.host = ""
        self.told: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.told.append(request.headers.get("Authorization"))
        return web.Response(status=201)


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    made, app = Elsewhere(), web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.host = site.name.removeprefix("http://")
    yield made
    await runner.cleanup()


async def test_a_token_server_without_tls_is_not_told_a_password(elsewhere: Elsewhere):
    login = Login("registry.example", US)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(PushDenied, match="HTTPS"):
            await login.answer(f'Bearer realm="http://{elsewhere.host}/token"', ["repository:a:pull"], session)

    assert elsewhere.told == []


async def test_a_place_on_another_host_is_not_told_who_we_are(elsewhere: Elsewhere):
    login = Login("registry.example", US)
    async with aiohttp.ClientSession() as session:
        await login.answer("Basic realm=x", ["s"], session)
        connection = RegistryConnection("registry.example", session, login)
        put = Call(method="PUT", url=f"http://{elsewhere.host}/upload", accepted=frozenset({201}), scopes=("s",))
        await connection.call(put)

    assert elsewhere.told == [None]


def test_a_password_is_not_shown():
    assert "secret" not in repr(US)
