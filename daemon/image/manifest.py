"""An image's configuration and manifest as OCI defines them, in canonical bytes.

Source: https://github.com/opencontainers/image-spec (config.md, manifest.md). Nothing in them varies with time, machine
or daemon: equal settings and an equal layer make an equal image.
"""

import json
import posixpath
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.builds import ImageSettings
from daemon.image.architecture import Architecture
from daemon.image.errors import BadImageSettings
from daemon.image.layer import Blob
from daemon.image.rootfs import APP, NONROOT, ROOT, Account

CREATED = "2001-01-01T00:00:00Z"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
TITLE = "org.opencontainers.image.title"
PATH = f"{APP}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PORT = re.compile(r"([1-9][0-9]{0,4})(?:/(tcp|udp|sctp))?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_USER = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?")
_HIGHEST_PORT = 65535
_HIGHEST_ID = (1 << 32) - 2
_HIGHEST_SIGNAL = 64
_SIGNALS = frozenset(one.name for one in signal.Signals)
_REAL_TIME = re.compile(r"SIGRT(?:MIN(?:\+[0-9]{1,2})?|MAX(?:-[0-9]{1,2})?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """Settings that have been looked at, with every default filled in."""

    binary: str
    account: Account
    working_directory: str
    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...]
    ports: tuple[str, ...]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    stop_signal: str | None
    include: tuple[str, ...]


def plan(binary: str, settings: ImageSettings) -> ImagePlan:
    """Check settings and fill in defaults; `BadImageSettings` says which cannot be used, and what can."""
    if not binary or "/" in binary or "\0" in binary or binary in {".", ".."}:
        raise _bad("binary", f"{binary!r} is no file name")
    account = _account(settings.user)
    entrypoint = _words("entrypoint", settings.entrypoint or (posixpath.join(APP, binary),))
    if not entrypoint[0]:
        raise _bad("entrypoint", "its first word is empty; it is the program that the image starts")
    environment = {"PATH": PATH, "HOME": account.home}
    for name, value in sorted(settings.environment.items()):
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            raise _bad("environment", f"{name!r} cannot be a variable; a name is letters, digits and underscores")
        environment[name] = value
    for name, value in settings.labels.items():
        if not name or "\0" in name + value:
            raise _bad("labels", f"{name!r} cannot be a label")
    return ImagePlan(
        binary=binary,
        account=account,
        working_directory=_directory(settings.working_directory),
        entrypoint=entrypoint,
        arguments=_words("arguments", settings.arguments or ()),
        ports=tuple(dict.fromkeys(_port(port) for port in settings.ports or ())),
        environment=environment,
        labels={TITLE: binary, **settings.labels},
        stop_signal=_signal(settings.stop_signal),
        include=tuple(settings.include or ()),
    )


def config(image: ImagePlan, extra: Mapping[str, str], layers: Sequence[Blob], architecture: Architecture) -> bytes:
    """The image configuration; `extra` environment gives way to what was asked for."""
    environment = {**extra, **image.environment}
    settings: dict[str, Any] = {
        "User": image.account.user,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Entrypoint": list(image.entrypoint),
        "WorkingDir": image.working_directory,
        "Labels": dict(image.labels),
    }
    if image.arguments:
        settings["Cmd"] = list(image.arguments)
    if image.ports:
        settings["ExposedPorts"] = {port: {} for port in image.ports}
    if image.stop_signal is not None:
        settings["StopSignal"] = image.stop_signal
    return _canonical(
        {
            "architecture": architecture.name,
            "os": "linux",
            "created": CREATED,
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [str(layer.digest) for layer in layers]},
            "history": [{"created": CREATED, "created_by": "bloomery"} for _ in layers],
        }
    )


def manifest(config: Blob, layers: Sequence[Blob]) -> bytes:
    """The image manifest; layers lowest first."""
    return _canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, config),
            "layers": [descriptor(LAYER_TYPE, layer) for layer in layers],
        }
    )


def descriptor(media_type: str, blob: Blob) -> dict[str, Any]:
    """How OCI points at a blob."""
    return {"mediaType": media_type, "digest": str(blob.digest), "size": blob.size}


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _bad(setting: str, why: str) -> BadImageSettings:
    return BadImageSettings(f"{setting}: {why}", setting=setting)


def _words(setting: str, words: tuple[str, ...]) -> tuple[str, ...]:
    if any("\0" in word for word in words):
        raise _bad(setting, "a word holds a NUL character")
    return tuple(words)


def _port(text: str) -> str:
    found = _PORT.fullmatch(text)
    if found is None or int(found[1]) > _HIGHEST_PORT:
        raise _bad("ports", f"{text!r} is no port; write 3000, 3000/tcp or 53/udp, from 1 to {_HIGHEST_PORT}")
    return f"{found[1]}/{found[2] or 'tcp'}"


def _directory(text: str | None) -> str:
    if text is None:
        return APP
    path = posixpath.normpath(text) if text else ""
    if not path.startswith("/") or path.startswith("//") or "\0" in path or path == "/" or ".." in text.split("/"):
        raise _bad("working_directory", f"{text!r} is no absolute path below the root, such as {APP}")
    return path


def _account(text: str | None) -> Account:
    if text is None or text == NONROOT.name:
        return NONROOT
    if text == ROOT.name:
        return ROOT
    found = _USER.fullmatch(text)
    if found is None or max(int(found[1]), int(found[2] or 0)) > _HIGHEST_ID:
        raise _bad("user", f"{text!r} is no user of the image; it is nonroot, root, or numbers as in 1000 or 1000:1000")
    uid, gid = int(found[1]), int(found[2] or found[1])
    for known in (ROOT, NONROOT):
        if uid == known.uid:
            return Account(name=known.name, uid=uid, gid=gid, home=known.home)
    return Account(name="app", uid=uid, gid=gid, home="/home/app")


def _signal(text: str | None) -> str | None:
    if text is None:
        return None
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= _HIGHEST_SIGNAL:
        return text
    if name in _SIGNALS or _REAL_TIME.fullmatch(name):
        return name
    raise _bad("stop_signal", f"{text!r} is no signal; write SIGTERM, INT or 15")
