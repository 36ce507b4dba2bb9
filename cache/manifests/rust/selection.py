"""Which binaries, features and profile a build is about, checked against the workspace, and cargo's words for them."""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from cache.manifests.paths import relative
from cache.manifests.rust.errors import AmbiguousBinary, MissingFeature, UnknownBinary, UnknownFeature, UnknownProfile
from cache.manifests.rust.package import Binary, Package
from cache.manifests.rust.workspace import Workspace

_PROFILES = ("dev", "release", "test", "bench")
DEFAULT_PROFILE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to build. `features` may be `package/feature`; `manifest` is set where only that makes features count."""

    binaries: tuple[Binary, ...]
    features: tuple[str, ...] = ()
    default_features: bool = True
    profile: str = DEFAULT_PROFILE
    manifest: str | None = None
    specifications: tuple[str, ...] = ()
    """What `-p` gets: a package's name, or its place where the lock has others of that name."""

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that have the binaries, each once, in order."""
        return tuple(dict.fromkeys(binary.package for binary in self.binaries))

    def arguments(self) -> tuple[str, ...]:
        """The arguments of `cargo build`, run in the workspace's root."""
        found: list[str] = ["--manifest-path", self.manifest] if self.manifest else []
        for specification in self.specifications:
            found += ["-p", specification]
        for name in dict.fromkeys(binary.name for binary in self.binaries):
            found += ["--bin", name]
        if not self.default_features:
            found.append("--no-default-features")
        if self.features:
            found += ["--features", ",".join(self.features)]
        found += ["--release"] if self.profile == DEFAULT_PROFILE else ["--profile", self.profile]
        return tuple(found)

    @property
    def profile_directory(self) -> str:
        """Cargo's directory for the profile's artefacts."""
        return {"dev": "debug", "test": "debug", "bench": "release"}.get(self.profile, self.profile)


def select(
    workspace: Workspace,
    binaries: tuple[str, ...] = (),
    features: tuple[str, ...] = (),
    *,
    default_features: bool = True,
    profile: str = DEFAULT_PROFILE,
) -> Selection:
    """Check a request against a workspace.

    A binary is named `binary` or `package/binary`. With none named it is the only one among what cargo builds by
    default, or else the `default-run` of its package. Raises `UnknownBinary`, `AmbiguousBinary`, `UnknownFeature`,
    `MissingFeature` or `UnknownProfile`.
    """
    chosen = tuple(dict.fromkeys(_named(workspace, name) for name in binaries)) or (_only(workspace),)
    _check_profile(workspace, profile)
    names = {binary.package for binary in chosen}
    packages = [member for member in workspace.members if member.name in names]
    wanted = tuple(sorted({name for feature in features for name in feature.replace(",", " ").split()}))
    for feature in wanted:
        _check_feature(packages, feature)
    for binary in chosen:
        package = next(package for package in packages if package.name == binary.package)
        _check_required(package, binary, wanted, default_features=default_features)
    features_in_words, manifest = _for_cargo(workspace, packages, wanted, default_features=default_features)
    return Selection(
        binaries=chosen,
        features=features_in_words,
        default_features=default_features,
        profile=profile,
        manifest=manifest,
        specifications=tuple(_specification(workspace, package) for package in _in_order(chosen, packages)),
    )


def _in_order(binaries: Iterable[Binary], packages: Iterable[Package]) -> list[Package]:
    by_name = {package.name: package for package in packages}
    return [by_name[name] for name in dict.fromkeys(binary.package for binary in binaries)]


def _specification(workspace: Workspace, package: Package) -> str:
    """A version would tell namesakes apart, too, but the skeleton's is not the real one."""
    namesakes = [other for other in workspace.packages if other.name == package.name]
    locked = [other for other in (workspace.lock.external() if workspace.lock else ()) if other.name == package.name]
    if len(namesakes) + len(locked) == 1:
        return package.name
    place = posixpath.join(workspace.work, package.directory).rstrip("/")
    return f"path+file://{quote(place)}#{package.name}"


def _listed(binaries: Iterable[Binary]) -> str:
    return ", ".join(f"`{binary.full_name}`" for binary in binaries)


def _named(workspace: Workspace, name: str) -> Binary:
    found = [binary for binary in workspace.binaries if name in {binary.name, binary.full_name}]
    if len(found) == 1:
        return found[0]
    if found:
        here = [binary for member in workspace.default_members for binary in member.binaries if binary in found]
        if len(here) == 1:
            return here[0]
        words = f"`{name}` is a binary of more than one package: ask for one of {_listed(found)}"
        raise AmbiguousBinary(words, binaries=[binary.full_name for binary in found])
    known = [binary.full_name for binary in workspace.binaries]
    if not known:
        raise _no_binary(workspace)
    raise UnknownBinary(f"no binary `{name}`: there are {_listed(workspace.binaries)}", binaries=[*known])


def _no_binary(workspace: Workspace) -> UnknownBinary:
    names = ", ".join(member.name for member in workspace.members)
    return UnknownBinary(f"{names}: there is no binary in this project, and an image runs one", binaries=[])


def _only(workspace: Workspace) -> Binary:
    found = [binary for member in workspace.default_members for binary in member.binaries] or [*workspace.binaries]
    if not found:
        raise _no_binary(workspace)
    if len(found) == 1:
        return found[0]
    packages = [package for package in workspace.members if package.name in {binary.package for binary in found}]
    if len(packages) == 1 and packages[0].default_run:
        return next(binary for binary in found if binary.name == packages[0].default_run)
    words = f"the project has {len(found)} binaries: name one in the request or in bloomery.toml: {_listed(found)}"
    raise AmbiguousBinary(words, binaries=[binary.full_name for binary in found])


def _check_profile(workspace: Workspace, profile: str) -> None:
    declared = workspace.document.table("profile")
    known = sorted({*_PROFILES, *(declared or ()), *workspace.config.profiles})
    if profile not in known:
        raise UnknownProfile(f"no profile `{profile}`: there are {', '.join(known)}", profiles=[*known])


def _check_feature(packages: list[Package], feature: str) -> None:
    """A feature counts if one selected package has it; of `dependency/feature` only the dependency is checked."""
    owner, slash, name = feature.partition("/")
    owners = [package for package in packages if package.name == owner]
    if slash and not owners:
        dependencies = {dependency.name for package in packages for dependency in package.dependencies}
        if owner.removesuffix("?") in dependencies:
            return
    candidates = owners if slash else packages
    if not any((name if slash else feature) in package.features for package in candidates):
        known = sorted({known for package in packages for known in package.features})
        there_are = f"there are {', '.join(known)}" if known else f"{', '.join(p.name for p in packages)} has none"
        raise UnknownFeature(f"no feature `{feature}`: {there_are}", features=[*known])


def _check_required(package: Package, binary: Binary, wanted: tuple[str, ...], *, default_features: bool) -> None:
    table = package.document.table("features")
    waiting = [name.partition("/")[2] if name.startswith(package.name + "/") else name for name in wanted]
    waiting += ["default"] if default_features else []
    enabled: set[str] = set()
    while waiting:
        feature = waiting.pop()
        if feature in enabled:
            continue
        enabled.add(feature)
        waiting += list((table.texts(feature) if table else None) or ())
        if "/" in feature and "?" not in feature:
            waiting.append(feature.partition("/")[0])
    missing = [name for name in binary.required_features if name not in enabled]
    if missing:
        words = f"the binary `{binary.name}` requires the features {', '.join(missing)}: ask for them in `features`"
        raise MissingFeature(words, required=[*binary.required_features])


def _for_cargo(
    workspace: Workspace,
    packages: list[Package],
    features: tuple[str, ...],
    *,
    default_features: bool,
) -> tuple[tuple[str, ...], str | None]:
    """Features as cargo takes them: the old resolver applies them to the current directory's package alone."""
    new = workspace.virtual or workspace.resolver != "1"
    if new or (default_features and not features):
        return features, None
    if len(packages) == 1:
        at_root = packages[0].directory == workspace.root
        return features, None if at_root else relative(packages[0].manifest, workspace.root)
    prefixed = {
        f"{package.name}/{feature}" if package.directory != workspace.root and "/" not in feature else feature
        for feature in features
        for package in packages
        if "/" in feature or feature in package.features
    }
    return tuple(sorted(prefixed)), None
