"""What a resolved Compose file says of builds: which services have one, from where, under which name. Pure functions.

Source: https://github.com/compose-spec/compose-spec (spec.md, build.md). The document is Compose's own answer to
`config`, so variables, `extends`, profiles and several files are settled; here it is only read.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cache.errors import Blame, Failure

_OWN = "x-bloomery"
_CHOICES = ("binary", "directory", "features", "link", "profile", "project", "toolchain")
"""What `x-bloomery` of a service may say; the same words as `bloomery build` has."""
_UNUSED = ("args", "target", "cache_from", "secrets", "ssh", "additional_contexts", "dockerfile_inline")
"""Keys of `build` that only a Dockerfile gives a meaning."""
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|github\.com/")


class BadComposeFile(Failure):
    """The Compose file cannot be used: Compose refuses it, or a service's build is none that is done here."""

    kind = "bad_compose_file"
    title = "The Compose file cannot be used"
    blame = Blame.REQUEST


class ServiceBuild(NamedTuple):
    """One service that is built here; `options` are those of `bloomery build`."""

    service: str
    context: str
    tag: str
    options: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    unused: tuple[str, ...] = ()
    """Keys of its `build` that mean nothing without a Dockerfile."""


def builds_of(document: Mapping[str, Any], image_name: str) -> list[ServiceBuild]:
    """The services that have a `build`, in order; `image_name` has `{service}` for those without an `image`."""
    services: Mapping[str, Any] = document.get("services") or {}
    return [_build(service, settings, image_name) for service, settings in services.items() if settings.get("build")]


def chosen(document: Mapping[str, Any], words: Iterable[str]) -> set[str]:
    """Which services such a command is about: those that it names with all they depend on, or else every one."""
    services: Mapping[str, Any] = document.get("services") or {}
    todo = [word for word in words if word in services]
    if not todo:
        return set(services)
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name in services and name not in found:
            found.add(name)
            todo += list(services[name].get("depends_on") or ())
    return found


def require_known(names: Sequence[str], document: Mapping[str, Any]) -> None:
    """Raise `BadComposeFile` for a name that no service has."""
    services: Collection[str] = document.get("services") or {}
    for name in names:
        if name not in services:
            raise BadComposeFile(f"there is no service {name!r}; there are {', '.join(services)}", service=name)


def _build(service: str, settings: Mapping[str, Any], image_name: str) -> ServiceBuild:
    build = settings["build"]
    build = {"context": build} if isinstance(build, str) else build
    context = str(build.get("context") or "")
    if not context or _REMOTE.match(context):
        raise BadComposeFile(
            f"services.{service}.build.context is {context!r}: only a directory of this machine can be built; "
            "fetch the sources first",
            service=service,
        )
    return ServiceBuild(
        service=service,
        context=context,
        tag=str(settings.get("image") or image_name.format(service=service)),
        options=tuple(_options(service, settings.get(_OWN) or {})),
        labels=_labels(build.get("labels") or {}),
        unused=tuple(key for key in _UNUSED if build.get(key)),
    )


def _options(service: str, choices: Any) -> Iterable[str]:
    if not isinstance(choices, dict):
        raise BadComposeFile(f"services.{service}.{_OWN} is no mapping of settings", service=service)
    for name, value in choices.items():
        path = f"services.{service}.{_OWN}.{name}"
        if name not in _CHOICES:
            raise BadComposeFile(f"{path} is not known; there are {', '.join(_CHOICES)}", service=service)
        if name == "features" and isinstance(value, list):
            value = ",".join(map(str, value))  # noqa: PLW2901 - both forms are one option
        if not isinstance(value, str) or not value:
            raise BadComposeFile(f"{path} = {value!r}: expected a text", service=service)
        yield f"--{'bin' if name == 'binary' else name}={value}"


def _labels(labels: Any) -> dict[str, str]:
    if isinstance(labels, dict):
        return {str(name): str(value) for name, value in labels.items()}
    pairs = (str(label).partition("=") for label in labels)
    return {name: value for name, _, value in pairs}
