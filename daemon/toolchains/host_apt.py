"""How this host gets Debian packages, asked of its own apt: the package sources, and what reaching them takes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from daemon.toolchains.errors import RootfsFailed
from daemon.toolchains.programs import printed

_ORIGIN = "Debian"
_TARGETS = "$(ORIGIN)\t$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)"
_OPTION = re.compile(r'(Acquire::(?:https?::|Check-|Retries)\S*) "([^"]+)";')


@dataclass(frozen=True, slots=True, kw_only=True)
class HostApt:
    """How the host gets its packages: `deb` lines as in sources.list(5) and options as in apt.conf(5)."""

    sources: tuple[str, ...]
    options: tuple[str, ...]


async def host_apt(environment: Mapping[str, str]) -> HostApt:
    """Ask the host's apt; `RootfsFailed` where this is no Debian or apt has no package lists yet."""
    targets = await printed(("apt-get", "indextargets", "--format", _TARGETS, "Created-By: Packages"), environment)
    return HostApt(sources=sources(targets), options=options(await printed(("apt-config", "dump"), environment)))


def sources(targets: str) -> tuple[str, ...]:
    """Debian's own among apt's index targets, as `deb` lines in apt's order."""
    components: dict[tuple[str, str], list[str]] = {}
    for line in targets.splitlines():
        origin, uri, release, component = line.split("\t")
        if origin == _ORIGIN:
            listed = components.setdefault((uri, release), [])
            if component not in listed:
                listed.append(component)
    if not components:
        raise RootfsFailed(
            "apt knows no Debian package source with its lists: run `apt-get update` on a Debian host, or make the "
            "toolchain from an image with --from-image"
        )
    return tuple(f"deb {uri} {release} {' '.join(listed)}" for (uri, release), listed in components.items())


def options(dump: str) -> tuple[str, ...]:
    """What `apt-config dump` says about reaching package sources: proxies, certificates, clocks."""
    found = (_OPTION.fullmatch(line.strip()) for line in dump.splitlines())
    return tuple(f'{option[1]} "{option[2]}";' for option in found if option)
