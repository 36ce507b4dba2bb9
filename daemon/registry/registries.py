"""The registries that the daemon may push to: how each is reached, and as whom."""

import ssl
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self
from urllib.request import getproxies, proxy_bypass

import aiohttp

from daemon.registry.connection import TIMEOUT, Patience, RegistryConnection
from daemon.registry.login import Credentials, Login
from daemon.registry.reference import RegistryReference


class Registries:
    """Connections by host, made when they are first needed; an async context that closes them.

    `plain` are the hosts beside loopback that are spoken to without TLS. Proxies are those of the daemon's environment.
    """

    def __init__(
        self,
        *,
        credentials: Mapping[str, Credentials] | None = None,
        plain: Collection[str] = (),
        ca_bundle: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._credentials = {} if credentials is None else credentials
        self._plain = frozenset(plain)
        self._ca_bundle = ca_bundle
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None
        self._connections: dict[str, RegistryConnection] = {}

    async def connect(self, reference: RegistryReference) -> RegistryConnection:
        """The connection to the reference's registry."""
        found = self._connections.get(reference.host)
        if found is None:
            found = self._connections[reference.host] = self._connection(reference)
        return found

    def _connection(self, reference: RegistryReference) -> RegistryConnection:
        host = reference.host
        plain = reference.loopback or host in self._plain
        return RegistryConnection(
            host,
            self._opened(),
            Login(host, self._credentials.get(host), plain=plain),
            plain=plain,
            proxy=None if reference.loopback or proxy_bypass(host) else getproxies().get("http" if plain else "https"),
            patience=self._patience,
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            trust = ssl.create_default_context(cafile=self._ca_bundle)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trust, limit_per_host=8),
                timeout=TIMEOUT,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "bloomery"},
            )
        return self._session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._session is not None:
            await self._session.close()
