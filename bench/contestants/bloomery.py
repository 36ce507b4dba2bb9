"""Ours: a daemon with an empty state directory, and the command line as a person runs it."""

from contextlib import ExitStack

from bench.cargo_time import said_seconds
from bench.contestants.contestant import Built, Order, Rules
from bench.daemon_process import DaemonProcess, daemon
from bench.engine import CommandFailed
from bench.rest import rested
from bench.shipped import remove_image, take_binary

_TAG = "bloomery-bench/bloomery:latest"


class Bloomery:
    """A daemon and its client."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._open = ExitStack()
        self._daemon: DaemonProcess | None = None

    @property
    def name(self) -> str:
        """Our own."""
        return "bloomery"

    def prepare(self) -> None:
        """The toolchain image is all that it needs."""

    def reset(self) -> None:
        """A new daemon; the old one's state, layers and workspaces are gone."""
        self.close()
        asked = self._rules.asked
        self._daemon = self._open.enter_context(daemon(asked.engine, asked.network))
        self.settle()  # once in the life of a state directory: it looks into the toolchain images

    def build(self, order: Order) -> Built:
        """Build; then, not timed, take the binary out of the image."""
        running = self._running()
        flags = ("--project", order.line, "--lineage", order.lineage, "--bin", order.project.binary)
        built = running.build(order.project.root, _TAG, *flags)
        cargo = said_seconds(running.output(built.record["id"]))
        size = take_binary(self._rules.asked.engine, _TAG, order.project.binary, order.binary)
        return Built(seconds=built.seconds, cargo_seconds=cargo, image_bytes=size, note=built.rung)

    def settle(self) -> float:
        """Wait until units are harvested and layers are made: no work behind the answers, and an idle process."""
        return rested(self._running())

    def close(self) -> None:
        """End the daemon; all that it made goes with it."""
        self._daemon = None
        self._open.close()
        remove_image(self._rules.asked.engine, _TAG)

    def _running(self) -> DaemonProcess:
        if self._daemon is None:
            raise CommandFailed("bloomery was not reset before its first build")
        return self._daemon
