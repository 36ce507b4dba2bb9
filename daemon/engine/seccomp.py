"""The system calls a sandbox may make: moby's current default profile and two rules of ours.

The profile is sent with each container, for engines come with profiles as old as they are: Docker 20.10's own lets
`io_uring_setup` and AF_VSOCK through. The data file is moby's, unchanged (SECCOMP.md beside it); the engine itself
resolves its conditions on capabilities, architectures and kernels. Its allow-list denies AF_VSOCK and io_uring already,
and `profile` takes the latter out of whatever file is read.
"""

import json
from importlib.resources import files
from typing import Any

_ENOSYS = 38
_DENIED = frozenset({"io_uring_setup", "io_uring_enter", "io_uring_register"})
_ABSENT = frozenset({"copy_file_range"})
"""Reads through it leave no access time, which observed reads rely on; every caller falls back to read and write."""


def profile() -> str:
    """The profile as the compact JSON that `SecurityOpt` takes after `seccomp=`."""
    document: dict[str, Any] = json.loads(files("daemon.engine").joinpath("seccomp.json").read_bytes())
    rules = []
    for rule in document["syscalls"]:
        names = [name for name in rule["names"] if name not in _DENIED | _ABSENT]
        if names:
            rules.append({**rule, "names": names})
    rules.append({"names": sorted(_ABSENT), "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return json.dumps({**document, "syscalls": rules}, separators=(",", ":"))
