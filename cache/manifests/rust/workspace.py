"""A cargo project as a value: its workspace, the packages of the tree that it is made of, its lock and its settings.

This reads what `cargo metadata --no-deps` would say, without running anything. The rules of membership are those of
cargo's `workspace.rs` (the Cargo Book, "Workspaces").
"""

import posixpath
from dataclasses import dataclass, field, replace

from cache.manifests.document import Table
from cache.manifests.errors import NoManifest
from cache.manifests.paths import join
from cache.manifests.rust.config import CargoConfig, read_config
from cache.manifests.rust.layout import Layout
from cache.manifests.rust.lock import Lockfile, read_lock
from cache.manifests.rust.membership import Membership
from cache.manifests.rust.package import Binary, Package
from cache.manifests.rust.reading import package_table
from cache.manifests.rust.toolchain import read_toolchain
from cache.manifests.source import SourceFiles

MANIFEST = "Cargo.toml"
LOCK = "Cargo.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A cargo project. All paths are of the tree.

    `name` is the root package's; of a virtual workspace the name of its directory, and where that is the tree's root,
    of its first default member that has a binary. `[project] name` in `bloomery.toml` goes over it.
    """

    name: str
    root: str
    """The directory of the workspace's root manifest."""
    directory: str
    """Where the request says the project is: the root, or a member."""
    members: tuple[Package, ...]
    default_members: tuple[Package, ...]
    """What cargo builds from `directory` when nothing is named."""
    path_packages: tuple[Package, ...]
    """Packages of the tree that members depend on and that are no members."""
    other_roots: tuple[Table, ...] = field(default=(), repr=False, compare=False)
    """Manifests that path packages inherit from and that are no package of this build."""
    patches: frozenset[str] = frozenset()
    """Directories that `[patch]` takes packages from."""
    replacements: frozenset[str] = frozenset()
    """The same for the older `[replace]`."""
    resolver: str = "1"
    lock: Lockfile | None = None
    config: CargoConfig = field(default_factory=CargoConfig)
    toolchain: str | None = None
    notes: tuple[str, ...] = ()
    work: str = "/work"
    """Where the tree will stand."""
    document: Table = field(repr=False, compare=False)
    """The root manifest."""
    layout: Layout = field(repr=False, compare=False)

    @property
    def lock_path(self) -> str:
        """Where the lock is, or would be."""
        return posixpath.join(self.root, LOCK)

    @property
    def packages(self) -> tuple[Package, ...]:
        """Members, then path packages."""
        return (*self.members, *self.path_packages)

    @property
    def binaries(self) -> tuple[Binary, ...]:
        """Every binary of every member."""
        return tuple(binary for member in self.members for binary in member.binaries)

    @property
    def virtual(self) -> bool:
        """Whether the root manifest has no package of its own."""
        return package_table(self.document) is None

    def with_lock(self, content: bytes) -> "Workspace":
        """The same with a lock that was made for it."""
        return replace(self, lock=read_lock(self.lock_path, content))


def read_workspace(files: SourceFiles, directory: str = "", work: str = "/work") -> Workspace:
    """Read the project in a directory of a tree that will stand at the absolute path `work`.

    Raises `NoManifest`, `BadManifest`, or `UnsupportedSetting` for its cargo configuration and toolchain file.
    """
    layout = Layout(files.paths())
    place = join("", directory)
    if place is None or posixpath.join(place, MANIFEST) not in files:
        raise _no_manifest(layout, directory)
    membership = Membership(files, layout, place)
    config = read_config(files, place, layout, work)
    toolchain, notes = read_toolchain(files, place)
    lock_path = posixpath.join(membership.root, LOCK)
    return Workspace(
        name=_name(membership),
        root=membership.root,
        directory=place,
        members=membership.members,
        default_members=membership.default_members(),
        path_packages=membership.path_packages,
        other_roots=membership.other_roots,
        patches=membership.patches,
        replacements=membership.replacements,
        resolver=_resolver(membership),
        lock=read_lock(lock_path, files.read(lock_path)) if lock_path in files else None,
        config=config,
        toolchain=toolchain,
        notes=(*config.notes, *notes),
        work=work,
        document=membership.document,
        layout=layout,
    )


def _no_manifest(layout: Layout, directory: str) -> NoManifest:
    looked_for = posixpath.join(directory, MANIFEST)
    found = sorted(
        (path for path in layout.files if posixpath.basename(path) == MANIFEST), key=lambda p: (p.count("/"), p)
    )
    if found:
        places = ", ".join(posixpath.dirname(path) or "its root" for path in found[:8])
        advice = f"there are manifests in {places}: name one of these as the directory to build"
    else:
        advice = "there is none anywhere in the tree: send the directory that holds it"
    shown: list[str] = found[:50]
    return NoManifest(f"{looked_for} is not in the source tree; {advice}", looked_for=looked_for, found=[*shown])


def _name(membership: Membership) -> str:
    package = package_table(membership.document)
    name = package.text("name") if package else None
    if name:
        return name
    if membership.root:
        return posixpath.basename(membership.root)
    defaults = membership.default_members() or membership.members
    named = next((member for member in defaults if member.binaries), defaults[0] if defaults else None)
    return named.name if named else "workspace"


def _resolver(membership: Membership) -> str:
    """The feature resolver that the root manifest names, or that its edition brings (the Cargo Book, "Resolver")."""
    workspace, package = membership.document.table("workspace"), package_table(membership.document)
    said = [table.text("resolver") for table in (workspace, package) if table is not None]
    chosen = next((resolver for resolver in said if resolver), None)
    if chosen:
        return chosen
    root = next((member for member in membership.members if member.directory == membership.root), None)
    edition = root.edition if root and package is not None else "2015"
    return {"2021": "2", "2024": "3"}.get(edition, "1")
