"""All that is known of a cargo project before anything runs: its manifests, what is selected, and the sources."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cache.blobs import BlobStore
from cache.manifests.rust.package import Binary
from cache.manifests.rust.selection import Selection
from cache.manifests.rust.skeleton import Skeleton
from cache.manifests.rust.workspace import Workspace
from cache.tree import SourceTree
from daemon.builds import Link
from daemon.ecosystems.rust.environment import STATIC_TRIPLE, TARGET
from daemon.ecosystems.rust.package_id import PackageId


@dataclass(frozen=True, slots=True, kw_only=True)
class RustSource:
    """All that the manifests say, and the sources themselves."""

    tree: SourceTree
    blobs: BlobStore
    workspace: Workspace
    selection: Selection
    skeleton: Skeleton
    lock: bytes | None
    """A lock that was made, and is put where the source has none."""
    configuration: bytes
    """Cargo's configuration for the offline steps: the project's, by allow-list, and the daemon's mirrors."""
    environment: Mapping[str, str]
    """Of every step."""
    compile_environment: Mapping[str, str] = field(default_factory=dict)
    """What `bloomery.toml` adds for the compile alone; in the result key."""
    private_to: str = ""
    """The project that alone may use the layer (law 6); empty: every project of the scope."""

    def arguments(self, link: Link) -> tuple[str, ...]:
        """Cargo's, the same for the cook and the compile."""
        arguments = self.selection.arguments()
        return (*arguments, "--target", STATIC_TRIPLE) if link is Link.STATIC else arguments

    def binary(self, name: str) -> Binary:
        """A selected binary."""
        return next(one for one in self.selection.binaries if one.name == name)

    def binary_path(self, name: str, link: Link) -> str:
        """Where cargo puts a binary."""
        triple = STATIC_TRIPLE if link is Link.STATIC else self.workspace.config.target
        target = self.binary(name).name
        return "/".join(part for part in (TARGET, triple, self.selection.profile_directory, target) if part)

    def may_stay(self, package: PackageId) -> bool:
        """Whether a layer may hold units of this package: it is from outside, or was cooked for real."""
        for_real = {(one.name, one.version) for one in self.skeleton.unstubbable}
        return package.is_outside or (package.name, package.version) in for_real
