"""Ends with 0 if a container engine answers at DOCKER_HOST or the default socket; needs nothing but Python."""

import http.client
import os
import socket
import sys

_SECONDS = 5.0


class _Unix(http.client.HTTPConnection):
    """HTTP over the socket at a path."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def answers(url: str) -> bool:
    """Does an engine answer `/_ping` there? `unix://PATH` or `tcp://HOST:PORT`."""
    scheme, _, place = url.partition("://")
    connection = _Unix(place) if scheme == "unix" else http.client.HTTPConnection(place, timeout=_SECONDS)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().read().strip() == b"OK"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not answers(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"))
