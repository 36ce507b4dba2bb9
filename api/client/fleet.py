"""Builds of several services at once: each in a thread with a connection of its own, a failure of one not another's."""

import argparse
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from api.client.board import Board
from api.client.client import Client
from api.client.compose_file import ServiceBuild
from api.client.console import Console, Style
from api.client.render import Json, duration, problem, seconds_of, size
from api.client.source import Source, add_options
from api.client.sse import ServerSentEvent
from cache.errors import Failure

_POLL_SECONDS = 0.2


class Built(NamedTuple):
    """How one service's build ended: its record, or why there is none."""

    service: str
    build: Json | None
    failure: Json | None = None

    @property
    def succeeded(self) -> bool:
        """There is an image."""
        return self.build is not None and self.build["state"] == "succeeded"

    @property
    def blame(self) -> str:
        """Whose turn it is, of one that did not succeed; empty where it was cancelled."""
        return str((self.failure or {}).get("blame", ""))


class Fleet:
    """Builds services and tells the board."""

    def __init__(self, client: Client, console: Console, board: Board, more: Sequence[str] = ()) -> None:
        self._client = client
        self._console = console
        self._board = board
        self._more = more
        """Options that all builds have."""
        self.begun: dict[str, str] = {}
        """The builds that were accepted, by service."""

    def build(self, services: Sequence[ServiceBuild], requests: Mapping[str, object]) -> list[Built]:
        """All of them at once; `requests` are fields of every request. Ctrl-C leaves the builds to the daemon."""
        ended: dict[str, Built] = {}

        def one(service: ServiceBuild) -> None:
            ended[service.service] = self._one(service, requests)

        threads = [threading.Thread(target=one, args=(service,), daemon=True) for service in services]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_POLL_SECONDS)
        self._board.end()
        return [ended.get(service.service, Built(service.service, None)) for service in services]

    def _one(self, service: ServiceBuild, requests: Mapping[str, object]) -> Built:
        name = service.service
        try:
            with self._client.twin() as client:
                source = Source(self._options(service), _Quiet(self._console, self._board, name))
                source.request |= requests
                if service.labels:
                    for image in source.request["images"]:
                        image["settings"] = {"labels": dict(service.labels)}
                key = os.urandom(16).hex()
                build = source.ask(client, lambda: client.create_build(source.request, key))
                self.begun[name] = build["id"]
                if build["state"] not in {"succeeded", "failed", "cancelled"}:
                    for event in client.events(build["id"]):
                        self._tell(name, event)
                    build = client.build(build["id"])
        except Failure as failure:
            self._board.show(name, "Failed", failure.title)
            said = {"title": failure.title, "detail": failure.detail, "evidence": failure.evidence}
            return Built(name, None, {**said, "kind": failure.kind, "blame": str(failure.blame)})
        self._end(name, build)
        return Built(name, build, build.get("failure"))

    def _options(self, service: ServiceBuild) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_options(parser)
        return parser.parse_args([*self._more, *service.options, "--tag", service.tag, service.context])

    def _tell(self, name: str, event: ServerSentEvent) -> None:
        data = event.data
        match event.kind:
            case "stage" if data.get("phase") == "begin":
                self._board.show(name, "Building", str(data.get("stage", "")))
            case "compiled":
                self._board.show(name, "Building", f"{data.get('done', 0)}/{data.get('total', 0)}", fleeting=True)

    def _end(self, name: str, build: Json) -> None:
        took = duration(seconds_of(build))
        if build["state"] != "succeeded":
            self._board.show(name, "Failed", str((build.get("failure") or {}).get("title", build["state"])))
            return
        (image,) = build["outcome"]["images"]
        rung = build["outcome"]["reuse"]["rung"]
        self._board.show(name, "Built", f"{image['reference']}, {size(image['size'])}, reuse {rung}, {took}")


def told(ended: Iterable[Built]) -> list[str]:
    """What is said below the block of those that failed."""
    lines = []
    for each in ended:
        if not each.succeeded:
            first, *rest = problem(each.failure or {"title": "was cancelled"})
            lines += [f"{each.service}: {first}", *rest]
            if each.build is not None:
                lines.append(f"  build {each.build['id']}; `bloomery logs {each.build['id']}` shows all of it")
    return lines


class _Quiet(Console):
    """What reading and sending sources say goes to the service's line."""

    def __init__(self, console: Console, board: Board, name: str) -> None:
        super().__init__(console.out, console.err, console.environment, Style.PLAIN, console.width)
        self._board = board
        self._name = name

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._board.above([f"{self._name}: {text}"])

    def say(self, verb: str, text: str) -> None:
        self._board.show(self._name, verb, text, fleeting=True)

    def bar(self, text: str) -> None:
        """Live lines are the board's."""
