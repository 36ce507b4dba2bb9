"""Whose sources are whose: with tokens, a scope can name only the trees and files that it has sent itself.

Trees and blobs are kept once, under their digests, whoever sent them. Without ownership a digest would be enough to
build another scope's tree, and the listing door would tell which files exist. So a scope is asked for every file that
it has not sent before, also for one that is here.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from cache.digest import Digest
from cache.tree import SourceTree

_MOST_SENT = 100_000
"""Files that a scope may have sent before it lists the tree they are of; the oldest are asked for again."""


class Sources(Protocol):
    """The trees that a scope can name."""

    async def put_tree(self, tree: SourceTree, scope: str) -> None:
        """Keep a tree whose blobs are all on the disk, for this scope."""
        ...

    async def tree(self, digest: Digest, scope: str) -> SourceTree | None:
        """The tree of this name, if this scope can name it."""
        ...

    async def unproven(self, digests: Sequence[Digest], scope: str) -> tuple[Digest, ...]:
        """The files that this scope has to send even where they are here, each once."""
        ...

    def received(self, digest: Digest, scope: str) -> None:
        """This scope sent a file, whole."""
        ...


class CommonTrees(Protocol):
    """The store, for whoever asks."""

    async def put_tree(self, tree: SourceTree) -> None:
        """Keep a tree."""
        ...

    async def tree(self, digest: Digest) -> SourceTree | None:
        """The tree of this name."""
        ...


class OwnedTrees(Protocol):
    """The store, by scope."""

    async def own_tree(self, tree: SourceTree, scope: str) -> None:
        """Keep a tree, its files, and whose they are."""
        ...

    async def owned_tree(self, digest: Digest, scope: str) -> SourceTree | None:
        """The tree of this name, if this scope sent it."""
        ...

    async def not_owned(self, digests: Iterable[Digest], scope: str) -> tuple[Digest, ...]:
        """The files that are in no tree of this scope."""
        ...


class SharedSources:
    """Everyone's: the daemon has no tokens, and whoever can reach it may name any scope."""

    def __init__(self, trees: CommonTrees) -> None:
        self._trees = trees

    async def put_tree(self, tree: SourceTree, scope: str) -> None:  # noqa: ARG002 - anyone's
        """Keep a tree."""
        await self._trees.put_tree(tree)

    async def tree(self, digest: Digest, scope: str) -> SourceTree | None:  # noqa: ARG002 - anyone's
        """The tree of this name."""
        return await self._trees.tree(digest)

    async def unproven(self, digests: Sequence[Digest], scope: str) -> tuple[Digest, ...]:  # noqa: ARG002 - anyone's
        """None: what is here is here for everyone."""
        return ()

    def received(self, digest: Digest, scope: str) -> None:
        """Nothing to remember."""


class OwnSources:
    """Each scope's own."""

    def __init__(self, trees: OwnedTrees, most_sent: int = _MOST_SENT) -> None:
        self._trees = trees
        self._most_sent = most_sent
        self._sent: dict[str, dict[Digest, None]] = {}

    async def put_tree(self, tree: SourceTree, scope: str) -> None:
        """Keep a tree as this scope's; from now on the store knows that its files are, too."""
        await self._trees.own_tree(tree, scope)
        sent = self._sent.get(scope, {})
        for entry in tree.files():
            if entry.digest:
                sent.pop(entry.digest, None)

    async def tree(self, digest: Digest, scope: str) -> SourceTree | None:
        """The tree of this name, if this scope sent it."""
        return await self._trees.owned_tree(digest, scope)

    async def unproven(self, digests: Sequence[Digest], scope: str) -> tuple[Digest, ...]:
        """Those that are in no tree of this scope and that it has not sent just now."""
        sent = self._sent.get(scope, {})
        return await self._trees.not_owned([digest for digest in digests if digest not in sent], scope)

    def received(self, digest: Digest, scope: str) -> None:
        """Remember it until a tree names it; a file for which that takes too long is asked for again."""
        sent = self._sent.setdefault(scope, {})
        sent[digest] = None
        if len(sent) > self._most_sent:
            del sent[next(iter(sent))]
