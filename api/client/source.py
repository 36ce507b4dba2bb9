"""What `build` and `explain` send: a directory as a tree, its revision, and the options as a request.

The call that names the tree is made first, and the tree uploaded only if the daemon lacks it: an unchanged tree costs
one request, and none of the upload's code is even loaded. Of a tree that was another one the last time, the daemon is
told first what it holds.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence

from api.client.bounds import Bounds, no_bounds
from api.client.client import Client
from api.client.console import Console
from api.client.render import Json, count, status
from api.client.revision import read_revision
from api.client.stamps import Stamps, place_of
from api.client.worktree import Worktree
from cache.errors import Blame, Failure

_PATIENCE_SECONDS = 1.0
_REDRAW_SECONDS = 0.1
_ABSENT = frozenset({"unknown_tree", "missing_blobs"})
_NAMED = ("directory", "toolchain", "profile", "default_features", "link", "project", "lineage", "parent", "reuse")
"""Options that the request has by the same name."""
_ASKED = "asked"
"""What is remembered: the tree that a daemon was asked about last."""


class BadOption(Failure):
    """Options of the command line that do not go together."""

    kind = "bad_option"
    title = "These options do not go together"
    blame = Blame.REQUEST


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that make a request."""
    add = parser.add_argument
    add("path", nargs="?", default=".", metavar="PATH", help="the directory to build (default: the current one)")
    add(
        "-t",
        "--tag",
        action="append",
        default=[],
        metavar="[BINARY=]TAG",
        dest="tags",
        help="name the image; repeatable",
    )
    add(
        "--bin",
        action="append",
        default=[],
        metavar="NAME",
        dest="binaries",
        help="an image of this binary; repeatable",
    )
    add("--features", action="append", metavar="LIST", help="cargo features, by commas or blanks; repeatable")
    add("--no-default-features", action="store_false", default=None, dest="default_features", help="as cargo's")
    add("--profile", metavar="NAME", help="cargo profile (default: release)")
    add("--toolchain", metavar="NAME", help="a toolchain that the daemon offers (default: rust-toolchain.toml's)")
    add("--link", choices=("static", "dynamic"), help="static: an image with one file (default: dynamic)")
    add("--directory", default="", metavar="DIR", help="where Cargo.toml is within PATH")
    add("--project", metavar="NAME", help="whose build this is (default: the workspace's name)")
    add("--lineage", metavar="NAME", help="a line of builds of the project, such as a branch (default: main)")
    add("--parent", metavar="NAME", help="the lineage that this one's first build goes on from (default: main)")
    add("--any-size", action="store_true", help="send PATH however large it is; the daemon may still refuse it")
    add("--check", metavar="COMMAND", help="run this in the image before it is published")
    add("--no-cache", action="store_const", const="nothing", dest="reuse", help="reuse nothing; the result is kept")


def images_of(binaries: Sequence[str], tags: Sequence[str]) -> list[Json]:
    """The request's images: one a binary, `BINARY=TAG` naming its binary, a bare TAG going to the only image."""
    named: dict[str | None, list[str]] = {name: [] for name in binaries}
    bare: list[str] = []
    for tag in tags:
        binary, equals, name = tag.partition("=")
        if equals:
            named.setdefault(binary, []).append(name)
        else:
            bare.append(tag)
    if bare and len(named) > 1:
        listed = ", ".join(str(name) for name in named)
        raise BadOption(f"there are several images ({listed}): write -t BINARY={bare[0]} to say which one", tag=bare[0])
    if not named:
        named[None] = []
    next(iter(named.values())).extend(bare)
    return [({"binary": name} if name else {}) | {"tags": given} for name, given in named.items()]


class Source:
    """A directory that was read, and the request about it."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        root = os.path.realpath(options.path)
        stamps = Stamps(place_of(root, console.environment), time.time_ns())
        self._console = console
        bounds = no_bounds() if options.any_size else Bounds()
        self._worktree = Worktree(root, stamps, bounds, _Reading(console).tell)
        console.clear()
        tree = str(self._worktree.tree.digest)
        self.request: Json = {"tree": tree, "images": images_of(options.binaries, options.tags)}
        for name in _NAMED:
            if (value := getattr(options, name)) not in {None, ""}:
                self.request[name] = value
        if options.features is not None:
            self.request["features"] = [each for given in options.features for each in given.replace(",", " ").split()]
        if options.check is not None:
            self.request["check"] = _words(options.check)
        revision = read_revision(root, tree, stamps)
        if revision is not None:
            self.request["revision"] = revision._asdict()
        before = stamps.fact(_ASKED, [])
        self._edited = before not in {None, tree}
        if before != tree:
            stamps.state(_ASKED, [], tree)
        stamps.save()

    def ask(self, client: Client, call: Callable[[], Json]) -> Json:
        """Make a call that names the tree, uploading it first where it was edited or the daemon does not have it."""
        if not self._edited:
            try:
                return call()
            except Failure as failure:
                if failure.kind not in _ABSENT:
                    raise
        from api.client.uploading import upload  # noqa: PLC0415 - of no use to an unchanged tree

        upload(client, self._worktree, self._console)
        return call()


class _Reading:
    """Says that files are read, once that takes long enough to wonder."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + _PATIENCE_SECONDS
        self._said = False

    def tell(self, number: int) -> None:
        """One more file is about to be read."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _REDRAW_SECONDS
        text = f"{count(number, 'file')} so far"
        if self._said:
            self._console.bar(status("Reading", text))
        else:
            self._console.say("Reading", text)
        self._said = True


def _words(command: str) -> list[str]:
    import shlex  # noqa: PLC0415 - few builds have a check

    try:
        return shlex.split(command)
    except ValueError as problem:
        raise BadOption(f"--check {command!r}: {problem}") from problem
