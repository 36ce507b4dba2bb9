"""HTTP/1.1 over one socket, by h11: as much of a client as the command line needs.

The standard library's client loads a mail parser and TLS before it can send anything, a sixth of what an unchanged
build takes; h11 does not, and TLS is loaded for https alone. All that can go wrong here is an `OSError`.
"""

import socket
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import h11

_PIECE = 1 << 18
_PORTS = {"http": 80, "https": 443}

Body = bytes | BinaryIO | None


class NoAnswerError(ConnectionError):
    """The other side closed the connection before a first byte of an answer came."""


class NotHttpError(OSError):
    """What came is not what HTTP allows, or ends before its time."""


class Answer:
    """An answer whose head has come; the body comes as it is read."""

    def __init__(self, wire: "Wire", head: h11.Response) -> None:
        self._wire = wire
        self.status = head.status_code
        self.reason = head.reason.decode("latin-1")
        self.ended = False
        """Whether all of it was read."""

    def pieces(self) -> Iterator[bytes]:
        """What is left of the body, as it comes."""
        while not self.ended:
            event = self._wire.next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.ended = True
                self._wire.rest()

    def read(self) -> bytes:
        """What is left of the body."""
        return b"".join(self.pieces())


class Wire:
    """A connection to one server, opened when it is needed and kept until one of both closes it."""

    def __init__(self, scheme: str, host: str, port: int | None) -> None:
        self._scheme = scheme
        self._host = host
        self._port = port or _PORTS[scheme]
        shown = f"[{host}]" if ":" in host else host.encode("idna").decode()
        self._authority = shown if self._port == _PORTS[scheme] else f"{shown}:{self._port}"
        self._socket: socket.socket | None = None
        self._state = h11.Connection(h11.CLIENT)

    @property
    def is_open(self) -> bool:
        """Whether a connection was kept."""
        return self._socket is not None

    def open(self, seconds: float) -> None:
        """Connect, within some seconds."""
        connected = socket.create_connection((self._host, self._port), seconds)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._scheme == "https":
                import ssl  # noqa: PLC0415 - takes as long to load as all else here

                connected = ssl.create_default_context().wrap_socket(connected, server_hostname=self._host)
        except BaseException:
            connected.close()
            raise
        self._socket = connected
        self._state = h11.Connection(h11.CLIENT)

    def close(self) -> None:
        """Close it; the next request needs another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def quiet_for(self, seconds: float) -> None:
        """How long it may be silent from now on."""
        if self._socket is not None:
            self._socket.settimeout(seconds)

    def request(self, method: str, target: str, headers: Mapping[str, str], body: Body) -> Answer:
        """Send a request and get the answer's head; a server that refuses a body may answer before it has read it all.

        A body that is a file needs a Content-Length. Raises `ValueError` for what no head can hold.
        """
        every = {"Host": self._authority, "Accept-Encoding": "identity", **headers}
        if isinstance(body, bytes):
            every["Content-Length"] = str(len(body))
        try:
            head = h11.Request(method=method, target=target, headers=list(every.items()))
            begun = self._state.send(head) or b""
        except (h11.LocalProtocolError, UnicodeEncodeError):
            # Without h11's words: they show the header, and that may be the token.
            raise ValueError("no request can hold its path or a header of it") from None
        try:
            self._send(begun, body)
        except (BrokenPipeError, ConnectionResetError) as broken:
            try:
                return self._answer()
            except OSError:
                raise broken from None
        return self._answer()

    def next_event(self) -> h11.Event:
        """What comes next of an answer."""
        assert self._socket is not None
        try:
            while (event := self._state.next_event()) is h11.NEED_DATA:
                self._state.receive_data(self._received(self._socket))
        except h11.RemoteProtocolError as problem:
            raise NotHttpError(str(problem)) from problem
        assert isinstance(event, h11.Event)
        return event

    def rest(self) -> None:
        """The answer is at its end: be ready for another request, or close."""
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
        else:
            self.close()

    def _send(self, head: bytes, body: Body) -> None:
        assert self._socket is not None
        if body is None or isinstance(body, bytes):
            content = (self._state.send(h11.Data(data=body)) or b"") if body else b""
            self._socket.sendall(head + content + (self._state.send(h11.EndOfMessage()) or b""))
            return
        self._socket.sendall(head)
        while piece := body.read(_PIECE):
            self._socket.sendall(self._state.send(h11.Data(data=piece)) or b"")
        self._socket.sendall(self._state.send(h11.EndOfMessage()) or b"")

    def _received(self, connected: socket.socket) -> bytes:
        data = connected.recv(_PIECE)
        if not data and self._state.their_state is h11.SEND_RESPONSE and not self._state.trailing_data[0]:
            raise NoAnswerError("the connection was closed without an answer")
        return data

    def _answer(self) -> Answer:
        while not isinstance(event := self.next_event(), h11.Response):
            """What is told before the answer (100 Continue) changes nothing."""
        return Answer(self, event)
