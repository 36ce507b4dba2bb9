"""The whole profile under which foreign code runs, as the body of the engine's create request.

One function of a spec and the engine that will take it, so that what a sandbox may do can be read, and tested, in one
place. Nothing of the host is ever mounted, nothing is ever privileged.
"""

from typing import Any

from daemon.engine.engine import EngineInfo, Privilege, SandboxSpec
from daemon.engine.seccomp import profile as seccomp_profile

_NANO = 1_000_000_000
_SMALLEST_SHARE = 10_000_000
"""Engines refuse less than a hundredth of a CPU."""
_USUAL_WEIGHT = 1024
"""What engines call 1; the least is 2."""


def create_request(spec: SandboxSpec, engine: EngineInfo) -> dict[str, Any]:
    """The body of `POST /containers/create`.

    The CPUs are no more than the host has, for an engine refuses what it cannot give. An empty command keeps the
    image's own entrypoint and arguments.
    """
    request: dict[str, Any] = {
        "Image": spec.image,
        "User": spec.user,
        "WorkingDir": spec.working_directory,
        "Env": [f"{name}={value}" for name, value in sorted(spec.environment.items())],
        "Labels": dict(spec.labels),
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": False,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, engine),
    }
    if spec.command:
        # As the entrypoint, so that an image's own entrypoint is not put before it.
        request["Entrypoint"], request["Cmd"] = list(spec.command[:1]), list(spec.command[1:])
    return request


def _in_memory(spec: SandboxSpec) -> dict[str, str]:
    user, _, group = spec.user.partition(":")
    # The owner has to be said: over a directory that exists, runc gives a mount that directory's mode.
    mine = f"rw,nosuid,nodev,noexec,size={spec.limits.memory // 2},uid={user},gid={group or user},mode=755"
    own = dict.fromkeys(spec.in_memory, mine)
    return {"/tmp": f"rw,nosuid,nodev,exec,size={spec.limits.tmp_size},mode=1777", **own}  # noqa: S108 - the sandbox's own


def _host_config(spec: SandboxSpec, engine: EngineInfo) -> dict[str, Any]:
    limits = spec.limits
    cpus = min(limits.cpus, float(engine.host_cpus)) if engine.host_cpus else limits.cpus
    config: dict[str, Any] = {
        "NetworkMode": spec.network.value,
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "PublishAllPorts": False,
        "Memory": limits.memory,
        "MemorySwap": limits.memory,
        "NanoCpus": max(int(cpus * _NANO), _SMALLEST_SHARE),
        "CpuShares": max(int(limits.weight * _USUAL_WEIGHT), 2),
        "PidsLimit": limits.pids,
        "Ulimits": _ulimits(spec, engine),
        "Tmpfs": _in_memory(spec),
        "Init": True,
        "IpcMode": "private",
        "OomScoreAdj": 500,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
    }
    if spec.privilege is Privilege.CONFINED:
        config["CapDrop"] = ["ALL"]
        config["SecurityOpt"].append(f"seccomp={seccomp_profile()}")
    if spec.runtime is not None:
        config["Runtime"] = spec.runtime
    return config


def _ulimits(spec: SandboxSpec, engine: EngineInfo) -> list[dict[str, object]]:
    limits = {"nofile": spec.limits.open_files, "core": 0, "fsize": spec.limits.file_size}
    if engine.name == "Podman":
        # Without one, Podman takes a default that may be more than the host allows, and start fails.
        limits["nproc"] = spec.limits.open_files
    return [{"Name": name, "Soft": value, "Hard": value} for name, value in limits.items()]
