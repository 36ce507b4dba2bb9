"""Making toolchain images, with a fake engine, and fakes of apt and mmdebstrap in PATH."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from daemon.engine.engine import Network, Privilege
from daemon.errors import ImageGone
from daemon.toolchains import bytecode, debian, host_apt, labels, mmdebstrap
from daemon.toolchains.debian import Cached
from daemon.toolchains.errors import MakeFailed, RootfsFailed
from daemon.toolchains.make import PATH, PYTHON_WANTED, Recipe, WayOut, make_from_image, make_from_rustup, step
from daemon.toolchains.toolchain import UV
from tests.fakes.debian_host import DUMP, TARGETS, Host
from tests.fakes.engine import FakeEngine, Step


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host.in_directory(tmp_path)


@pytest.fixture
def sysroot(tmp_path: Path) -> Path:
    sysroot = tmp_path / "stable"
    for name in ("bin/cargo", "bin/rustc", "share/doc"):
        (sysroot / name).parent.mkdir(parents=True, exist_ok=True)
        (sysroot / name).write_text(name)
    return sysroot


async def make(engine: FakeEngine, host: Host, sysroot: Path, recipe: Recipe) -> str:
    return await make_from_rustup(
        engine.images,
        recipe,
        sysroot,
        host.directory / "cache",
        uv=PROGRAM,
        environment=host.environment,
        cached=Cached.USE,
        progress=host.lines.append,
    )


PROGRAM = Path(__file__)
"""A file of this host's; what it does is no matter here."""
CONTENT = PROGRAM.read_bytes()
RECIPE = Recipe(name="stable", reference="bloomery/toolchain:stable")

# --- the root file system


def test_debians_own_sources_are_taken_and_no_others():
    assert host_apt.sources(TARGETS) == (
        "deb http://user:secret@mirror.example/debian/ bookworm main contrib",
        "deb http://mirror.example/security/ bookworm-security main",
    )


def test_a_host_without_debians_lists_says_what_to_do():
    with pytest.raises(RootfsFailed, match="apt-get update"):
        host_apt.sources("Docker\thttps://download.example/linux\tbookworm\tstable\n")


def test_what_the_hosts_apt_needs_to_reach_its_mirror_is_taken_along():
    assert host_apt.options(DUMP) == (
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::CAInfo "/etc/ssl/ours.pem";',
        'Acquire::Check-Valid-Until "false";',
    )


def test_the_cache_is_named_after_sources_and_packages_but_not_passwords():
    lines = host_apt.sources(TARGETS)
    name = debian.cache_name(lines, ("gcc", "make"))
    assert name.startswith("debian-bookworm-")
    assert name == debian.cache_name(lines, ("make", "gcc"))
    assert name == debian.cache_name(tuple(line.replace("user:secret@", "") for line in lines), ("gcc", "make"))
    assert name != debian.cache_name(lines, ("gcc",))
    assert name != debian.cache_name(lines[:1], ("gcc", "make"))


async def test_a_root_file_system_is_made_once(host: Host):
    first = await host.rootfs()
    again = await host.rootfs()
    assert first == again
    assert len(host.debootstraps) == 1
    assert "creating tarball..." in host.lines


async def test_a_root_file_system_has_python_and_its_bytecode_is_compiled_anew(host: Host):
    await host.rootfs()
    [call] = host.debootstraps
    assert ",python3,python3-dev " in call
    assert call.index("mkdir -p /work /target /cargo /env") < call.index("--invalidation-mode unchecked-hash")


async def test_more_packages_are_another_root_file_system(host: Host):
    assert await host.rootfs() != await host.rootfs("libsqlite3-dev")
    assert len(host.debootstraps) == 2
    assert "libpq-dev" in host.debootstraps[0]
    assert ",libsqlite3-dev" in host.debootstraps[1]


async def test_a_package_that_is_there_anyway_changes_nothing(host: Host):
    assert await host.rootfs() == await host.rootfs("cmake")


async def test_refreshing_makes_it_anew(host: Host):
    await host.rootfs()
    await host.rootfs(cached=Cached.REMAKE)
    assert len(host.debootstraps) == 2


async def test_the_tar_comes_back_as_it_was(host: Host):
    whole = b"".join(mmdebstrap.unpacked(await host.rootfs()))
    (host.directory / "whole.tar").write_bytes(whole)
    with tarfile.open(host.directory / "whole.tar") as archive:
        assert archive.getnames() == ["usr", "usr/bin", "usr/bin/cc"]


async def test_a_failure_says_mmdebstraps_words_and_leaves_nothing(host: Host):
    host.program(
        "mmdebstrap", "echo 'I: installing' >&2; echo 'E: Unable to locate package nope' >&2; echo half; exit 25"
    )
    with pytest.raises(RootfsFailed, match="code 25: E: Unable to locate package nope"):
        await host.rootfs("nope")
    assert list((host.directory / "cache").iterdir()) == []


async def test_a_host_without_mmdebstrap_says_what_to_install(host: Host):
    (host.directory / "bin/mmdebstrap").unlink()
    (host.directory / "bin/cat").symlink_to("/bin/cat")
    with pytest.raises(RootfsFailed, match="apt-get install mmdebstrap"):
        await debian.rootfs(
            host.directory / "cache",
            (),
            environment={"PATH": f"{host.directory}/bin"},
            cached=Cached.USE,
            progress=host.lines.append,
        )


# --- from rustup


async def test_one_archive_holds_the_toolchain_and_the_root_file_system(host: Host, sysroot: Path):
    engine = FakeEngine()
    image = await make(engine, host, sysroot, RECIPE)
    made = engine.stored[image]
    assert made.files["/usr/local/rust/bin/cargo"].content == b"bin/cargo"
    assert made.files["/usr/bin/cc"].content == b"a compiler"
    assert made.files[UV].content == CONTENT
    assert made.files[UV].mode == 0o755
    assert not any("share" in path for path in made.files)


async def test_the_image_says_what_it_is(host: Host, sysroot: Path):
    engine = FakeEngine()
    recipe = Recipe(name="stable", reference="registry.example:5000/tools", packages=("libxml2-dev", "zlib1g-dev"))
    made = engine.stored[await make(engine, host, sysroot, recipe)]
    assert made.environment == {"PATH": PATH}
    assert made.labels == {
        "bloomery.toolchain": "stable",
        "bloomery.packages": "libxml2-dev zlib1g-dev",
        "bloomery.reference": "registry.example:5000/tools:latest",
        "bloomery.recipe": "1",
    }


async def test_the_image_that_the_tag_stood_for_goes(host: Host, sysroot: Path):
    engine = FakeEngine()
    old = await make(engine, host, sysroot, RECIPE)
    new = await make(engine, host, sysroot, RECIPE)
    assert old not in engine.stored
    assert new in engine.stored


async def test_an_image_that_has_another_name_too_stays(host: Host, sysroot: Path):
    engine = FakeEngine()
    old = await make(engine, host, sysroot, RECIPE)
    await engine.images.tag(old, "mine:1")
    await make(engine, host, sysroot, RECIPE)
    assert old in engine.stored


# --- from an image


async def from_image(engine: FakeEngine, source: str = "rust:1.95", way_out: WayOut | None = None) -> str:
    return await make_from_image(
        engine.sandboxes,
        engine.images,
        engine.survey,
        Recipe(name="pinned", reference="bloomery/toolchain:pinned"),
        source,
        uv=PROGRAM,
        way_out=way_out or WayOut(),
        progress=lambda _line: None,
    )


async def test_an_image_is_pulled_prepared_as_root_and_committed():
    engine, registry = FakeEngine(), FakeEngine()
    engine.registry["rust:1.95"] = registry.add_image("rust:1.95", environment={"PATH": "/cargo/bin:/bin"})
    seen: list[Step] = []

    def script(step: Step) -> int:
        seen.append(step)
        return 0

    engine.script(script)
    made = engine.stored[await from_image(engine)]
    [step] = seen
    assert (step.spec.user, step.spec.privilege, step.spec.network) == ("0:0", Privilege.MAKER, Network.BRIDGE)
    assert made.environment["PATH"] == "/usr/local/rust/bin:/cargo/bin:/bin"
    assert made.labels[labels.NAME] == "pinned"
    assert made.tags == {"bloomery/toolchain:pinned"}
    assert made.files[UV].content == CONTENT
    assert engine.containers == {}


async def test_proxies_and_authorities_reach_the_step_but_not_the_images_environment():
    engine = FakeEngine()
    engine.add_image("rust:1.95")
    seen: list[tuple[str, str]] = []

    def script(step: Step) -> int:
        seen.append((step.read("/etc/bloomery/make").decode(), step.read("/etc/bloomery/make-ca.pem").decode()))
        return 0

    engine.script(script)
    way_out = WayOut(proxies={"https_proxy": "http://user:it's@proxy.example", "no_proxy": ""}, ca_bundle=b"PEM")
    made = engine.stored[await from_image(engine, way_out=way_out)]
    [(script_text, bundle)] = seen
    assert """export https_proxy='http://user:it'"'"'s@proxy.example'\n""" in script_text
    assert "no_proxy" not in script_text
    assert bundle == "PEM"
    assert set(made.environment) == {"PATH"}


async def test_a_step_that_fails_says_its_last_words_and_leaves_nothing():
    engine = FakeEngine()
    engine.add_image("rust:1.95")

    def script(step: Step) -> int:
        step.complain("E: Unable to locate package nope\n")
        return 100

    engine.script(script)
    with pytest.raises(MakeFailed, match="code 100: E: Unable to locate package nope"):
        await from_image(engine)
    assert engine.containers == {}
    assert await engine.images.inspect("bloomery/toolchain:pinned") is None


async def test_an_image_that_no_registry_has_is_gone():
    with pytest.raises(ImageGone):
        await from_image(FakeEngine(), "rust:0.1")


def test_the_step_is_shell_that_parses():
    text = step(Recipe(name="x", reference="y", packages=("zlib1g-dev",)), WayOut(ca_bundle=b"PEM"))
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    assert "zlib1g-dev" in text


def test_the_step_ends_with_the_standard_librarys_bytecode():
    assert step(RECIPE, WayOut()).splitlines()[-1] == bytecode.STEP


def wanted(path: Path) -> str:
    """What is wanted of an image with these programs in PATH."""
    (path / "readlink").symlink_to("/usr/bin/readlink")
    script = f"set -eu\nwanted=gcc\n{PYTHON_WANTED}\necho $wanted"
    return subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": str(path)}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_debians_python_is_wanted_where_there_is_none(tmp_path: Path):
    assert wanted(tmp_path) == "gcc python3 python3-dev"


def test_debians_python_is_wanted_whole_where_it_is_the_default(tmp_path: Path):
    (tmp_path / "python3").symlink_to("/usr/bin/env")
    assert wanted(tmp_path) == "gcc python3 python3-dev"


def test_an_image_that_brings_another_python_gets_none(tmp_path: Path):
    (tmp_path / "python3").write_text("")
    (tmp_path / "python3").chmod(0o755)
    assert wanted(tmp_path) == "gcc"
