"""The command line's HTTP over a real socket, against servers that say just what a test wants."""

import io
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.client.wire import Answer, NoAnswerError, NotHttpError, Wire

Script = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def heard(connected: socket.socket, end: bytes = b"\r\n\r\n") -> bytes:
    """What is sent until this has come."""
    found = b""
    while end not in found and (piece := connected.recv(65536)):
        found += piece
    return found


@contextmanager
def served(*scripts: Script) -> Iterator[int]:
    """A server that plays one script a connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def serve() -> None:
            for script in scripts:
                connected, _ = listening.accept()
                with connected:
                    connected.settimeout(10)
                    script(connected)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield listening.getsockname()[1]
        serving.join(10)
        assert not serving.is_alive()


@contextmanager
def wire_to(port: int, scheme: str = "http", host: str = "127.0.0.1") -> Iterator[Wire]:
    wire = Wire(scheme, host, port)
    wire.open(10)
    wire.quiet_for(10)
    try:
        yield wire
    finally:
        wire.close()


def asked(wire: Wire, body: bytes | None = None) -> Answer:
    return wire.request("POST" if body else "GET", "/v1/x", {"User-Agent": "test"}, body)


def test_requests_follow_one_another_over_one_connection():
    seen: list[bytes] = []

    def twice(connected: socket.socket) -> None:
        for _ in range(2):
            seen.append(heard(connected))
            connected.sendall(OK)

    with served(twice) as port, wire_to(port) as wire:
        first = asked(wire).read()
        second = asked(wire)

        assert (first, second.status, second.reason, second.read()) == (b"ok", 200, "OK", b"ok")
        assert wire.is_open
    assert seen[0].startswith(b"GET /v1/x HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{port}".encode() in seen[0].lower()


def test_a_body_has_its_length():
    seen: list[bytes] = []

    def once(connected: socket.socket) -> None:
        seen.append(heard(connected, b"{}"))
        connected.sendall(OK)

    with served(once) as port, wire_to(port) as wire:
        asked(wire, b"{}").read()

    assert b"content-length: 2\r\n" in seen[0].lower()
    assert seen[0].endswith(b"\r\n\r\n{}")


def test_a_file_goes_in_pieces():
    content = bytes(range(256)) * 4096
    seen: list[bytes] = []

    def once(connected: socket.socket) -> None:
        found = heard(connected)
        while len(found.partition(b"\r\n\r\n")[2]) < len(content):
            found += connected.recv(65536)
        seen.append(found.partition(b"\r\n\r\n")[2])
        connected.sendall(OK)

    with served(once) as port, wire_to(port) as wire:
        answer = wire.request("PUT", "/", {"Content-Length": str(len(content))}, io.BytesIO(content))

        assert answer.read() == b"ok"
    assert seen == [content]


def test_an_answer_in_chunks_comes_as_it_is_sent():
    go_on = threading.Event()

    def once(connected: socket.socket) -> None:
        heard(connected)
        connected.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        go_on.wait(10)
        connected.sendall(b"3\r\ntwo\r\n0\r\n\r\n")

    with served(once) as port, wire_to(port) as wire:
        answer = asked(wire)
        pieces = answer.pieces()
        first = next(pieces)
        before = answer.ended
        go_on.set()

        assert (first, before, b"".join(pieces), answer.ended) == (b"one", False, b"two", True)


def test_a_continue_is_passed_over():
    def once(connected: socket.socket) -> None:
        heard(connected)
        connected.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    with served(once) as port, wire_to(port) as wire:
        assert asked(wire).read() == b"ok"


def test_a_refusal_that_comes_before_all_was_sent_is_the_answer():
    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return bytes(size)

    def refuse(connected: socket.socket) -> None:
        heard(connected)
        connected.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        connected.shutdown(socket.SHUT_RDWR)

    with served(refuse) as port, wire_to(port) as wire:
        answer = wire.request("PUT", "/", {"Content-Length": str(1 << 40)}, Endless())  # type: ignore[arg-type] # reads

        assert (answer.status, answer.read()) == (413, b"big")
        assert not wire.is_open


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", NoAnswerError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NotHttpError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", NotHttpError),
    ],
)
def test_what_is_no_answer_is_an_error(said: bytes, error: type[OSError]):
    def once(connected: socket.socket) -> None:
        heard(connected)
        connected.sendall(said)

    with served(once) as port, wire_to(port) as wire, pytest.raises(error):
        asked(wire)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
    ],
)
def test_a_body_that_ends_too_early_is_an_error(said: bytes):
    def once(connected: socket.socket) -> None:
        heard(connected)
        connected.sendall(said)

    with served(once) as port, wire_to(port) as wire, pytest.raises(NotHttpError):
        asked(wire).read()


def test_a_body_may_last_until_the_connection_does():
    def once(connected: socket.socket) -> None:
        heard(connected)
        connected.sendall(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    with served(once) as port, wire_to(port) as wire:
        assert asked(wire).read() == b"all of it"
        assert not wire.is_open


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer a\nb"}, {"X-Text": "ä→"}])
def test_what_no_head_can_hold_is_refused(headers: dict[str, str]):
    def nothing(connected: socket.socket) -> None:
        heard(connected)

    with served(nothing) as port, wire_to(port) as wire, pytest.raises(ValueError, match="no request can hold"):
        wire.request("GET", "/", headers, None)


def test_silence_ends():
    answered = threading.Event()

    def once(connected: socket.socket) -> None:
        heard(connected)
        answered.wait(10)

    with served(once) as port, wire_to(port) as wire:
        wire.quiet_for(0.05)
        with pytest.raises(TimeoutError):
            asked(wire)
        answered.set()


def test_https_believes_only_whom_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def once(connected: socket.socket) -> None:
        try:
            with context.wrap_socket(connected, server_side=True) as secured:
                heard(secured)
                secured.sendall(OK)
        except OSError:
            """A client that does not believe goes away."""

    with served(once, once) as port:
        with pytest.raises(ssl.SSLCertVerificationError), wire_to(port, "https", "localhost"):
            pass
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with wire_to(port, "https", "localhost") as wire:
            assert asked(wire).read() == b"ok"
