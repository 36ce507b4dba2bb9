import json
from dataclasses import replace
from typing import Any

import pytest

from daemon.engine.engine import EngineInfo, Limits, Privilege, SandboxSpec
from daemon.engine.isolation import Boundary, isolation
from daemon.engine.profile import create_request
from daemon.engine.seccomp import profile

ENGINE = EngineInfo(
    name="Docker",
    version="20.10.24",
    api="1.41",
    driver="overlay2",
    root="/var/lib/docker",
    runtimes=("runc", "runsc"),
    security=("name=seccomp,profile=default",),
    host_cpus=4,
    host_memory=8 << 30,
    cgroup="2",
)
SPEC = SandboxSpec(
    name="n", image="i", command=("/bin/sh", "/step"), environment={"B": "2", "A": "1"}, labels={"l": "v"}
)


def host(spec: SandboxSpec = SPEC, engine: EngineInfo = ENGINE) -> dict[str, Any]:
    config = create_request(spec, engine)["HostConfig"]
    assert isinstance(config, dict)
    return config


def test_a_sandbox_may_do_what_the_profile_says_and_no_more():
    config = host()
    security = config.pop("SecurityOpt")
    assert security[0] == "no-new-privileges"
    assert json.loads(security[1].removeprefix("seccomp=")) == json.loads(profile())
    assert config == {
        "NetworkMode": "none",
        "CapDrop": ["ALL"],
        "Privileged": False,
        "PublishAllPorts": False,
        "Memory": 4 << 30,
        "MemorySwap": 4 << 30,
        "NanoCpus": 2_000_000_000,
        "CpuShares": 1024,
        "PidsLimit": 512,
        "Ulimits": [
            {"Name": "nofile", "Soft": 4096, "Hard": 4096},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": 8 << 30, "Hard": 8 << 30},
        ],
        "Tmpfs": {"/tmp": "rw,nosuid,nodev,exec,size=536870912,mode=1777"},
        "Init": True,
        "IpcMode": "private",
        "OomScoreAdj": 500,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
    }


def test_a_directory_in_memory_is_the_builders_and_within_its_memory():
    config = create_request(replace(SPEC, in_memory=("/cargo/registry/src",)), ENGINE)["HostConfig"]
    assert config["Tmpfs"] == {
        "/tmp": "rw,nosuid,nodev,exec,size=536870912,mode=1777",
        "/cargo/registry/src": "rw,nosuid,nodev,noexec,size=2147483648,uid=10001,gid=10001,mode=755",
    }


def test_a_sandbox_is_who_and_where_its_spec_says():
    request = create_request(SPEC, ENGINE)
    assert (request["User"], request["WorkingDir"], request["Image"]) == ("10001:10001", "/work", "i")
    assert (request["Entrypoint"], request["Cmd"]) == (["/bin/sh"], ["/step"])
    assert (request["Env"], request["Labels"]) == (["A=1", "B=2"], {"l": "v"})


def test_without_a_command_the_image_keeps_its_own():
    request = create_request(replace(SPEC, command=()), ENGINE)
    assert not {"Entrypoint", "Cmd"} & set(request)


def test_cpus_are_no_more_than_the_host_has():
    assert host(replace(SPEC, limits=Limits(cpus=64)))["NanoCpus"] == 4_000_000_000
    assert host(replace(SPEC, limits=Limits(cpus=0.5)))["NanoCpus"] == 500_000_000
    assert host(replace(SPEC, limits=Limits(cpus=0.0001)))["NanoCpus"] == 10_000_000


def test_what_is_done_behind_the_answers_gives_way_to_builds_where_processors_are_scarce():
    assert host(replace(SPEC, limits=Limits(weight=0.125)))["CpuShares"] == 128
    assert host(replace(SPEC, limits=Limits(weight=0.0001)))["CpuShares"] == 2


def test_podman_wants_a_limit_of_processes_too():
    names = [limit["Name"] for limit in host(engine=replace(ENGINE, name="Podman"))["Ulimits"]]
    assert names == ["nofile", "core", "fsize", "nproc"]


def test_a_maker_keeps_the_engines_rights_but_gains_none():
    config = host(replace(SPEC, privilege=Privilege.MAKER))
    assert "CapDrop" not in config
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert config["Privileged"] is False


def test_a_runtime_is_named_where_one_is_set():
    assert "Runtime" not in host()
    assert host(replace(SPEC, runtime="runsc"))["Runtime"] == "runsc"


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for rule in json.loads(profile())["syscalls"] if name in rule["names"]]


def test_copy_file_range_is_as_if_the_kernel_had_none():
    assert rules("copy_file_range") == [{"names": ["copy_file_range"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]


@pytest.mark.parametrize("name", ["io_uring_setup", "io_uring_enter", "io_uring_register"])
def test_io_uring_is_not_allowed(name: str):
    assert rules(name) == []


def test_sockets_are_allowed_by_family_and_vsock_is_not_one():
    allowed = [(rule["args"][0]["op"], rule["args"][0]["value"]) for rule in rules("socket")]
    assert allowed == [("SCMP_CMP_LT", 38), ("SCMP_CMP_EQ", 39), ("SCMP_CMP_GT", 40)]


def test_what_no_rule_names_is_denied():
    assert json.loads(profile())["defaultAction"] == "SCMP_ACT_ERRNO"
    assert len(rules("read")) == 1


def test_plain_runc_is_said_to_be_no_boundary():
    report = isolation(ENGINE, None)
    assert report.boundary is Boundary.SHARED_KERNEL
    assert any("no boundary between hostile tenants" in warning for warning in report.warnings)
    assert any("Docker 20.10.24" in line for line in report.lines)
    assert {"seccomp: yes; apparmor: no", "rootless: no; user namespaces: no"} <= set(report.lines)


@pytest.mark.parametrize("option", ["name=rootless", "name=userns"])
def test_mapped_users_are_better_and_still_one_kernel(option: str):
    report = isolation(replace(ENGINE, security=(*ENGINE.security, option)), None)
    assert report.boundary is Boundary.SHARED_KERNEL_MAPPED
    assert report.warnings


def test_a_runtime_with_a_kernel_of_its_own_leaves_nothing_to_warn_of():
    report = isolation(ENGINE, "runsc")
    assert report.boundary is Boundary.OWN_KERNEL
    assert report.warnings == ()


def test_a_runtime_that_the_engine_lacks_is_told():
    (warning,) = isolation(ENGINE, "kata").warnings
    assert "no runtime 'kata'" in warning


def test_an_engine_without_a_filter_is_told():
    (warning,) = isolation(replace(ENGINE, security=()), "runsc").warnings
    assert "seccomp" in warning
