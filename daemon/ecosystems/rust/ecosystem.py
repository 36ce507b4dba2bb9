"""Rust as an ecosystem: finds a cargo project and plans it, reading manifests and lock, running nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cache.digest import Digest
from cache.keys import Key, KeyKind, KeyPart
from cache.manifests.rust.exact import exact_parts, hard_parts, unit_parts
from cache.manifests.rust.selection import Selection, select
from cache.manifests.rust.settings import ImageTable, ProjectSettings, read_settings
from cache.manifests.rust.skeleton import skeleton
from cache.manifests.rust.workspace import Workspace, read_workspace
from cache.manifests.source import SourceFiles
from daemon.builds import BuildRequest, ImageRequest, ImageSettings, Link
from daemon.ecosystems.ecosystem import Plan, Project, Source, StepReader
from daemon.ecosystems.rust.environment import RECIPE, environment
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.rust.project import RustProject, RustSource
from daemon.events import Progress
from daemon.toolchains.names import resolve
from daemon.toolchains.toolchain import Toolchain
