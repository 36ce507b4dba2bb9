"""Which registry, repository and tag an image reference names.

Source: the grammar of https://github.com/distribution/reference, and its rule for the first component: it is a host if
it has a dot or a port, or is `localhost`. Docker makes any other reference one of its own registry's; here such a
name is local, for nobody should push to a registry that they never wrote.
"""

import ipaddress
import re
from dataclasses import dataclass

from daemon.engine.names import repository_and_tag
from daemon.errors import NotPushable

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryReference:
    """`host/repository:tag`, taken apart."""

    host: str
    """With its port, if one was written."""
    repository: str
    tag: str

    @property
    def loopback(self) -> bool:
        """The registry is on this machine, where nobody listens in."""
        name = re.sub(r":[0-9]+$", "", self.host).strip("[]")
        if name == _LOCALHOST:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}:{self.tag}"


def names_registry(reference: str) -> bool:
    """Whether it begins with a registry's host."""
    first, slash, _ = reference.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == _LOCALHOST)


def parsed(reference: str) -> RegistryReference:
    """The reference's parts; `NotPushable` for one that names no registry."""
    if not names_registry(reference):
        raise NotPushable(
            f"{reference} names no registry, so there is nowhere to push it: write its host first, as in "
            f"registry.example/{reference}",
            reference=reference,
        )
    named, tag = repository_and_tag(reference)
    host, _, repository = named.partition("/")
    if not _HOST.fullmatch(host) or not _REPOSITORY.fullmatch(repository):
        raise NotPushable(f"{reference} is no reference of a repository in a registry", reference=reference)
    return RegistryReference(host=host, repository=repository, tag=tag)
