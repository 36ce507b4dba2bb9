"""Toolchain images in the real engine: what setup made, and one made from it as from any image that can be pulled."""

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from daemon.config import NetworkConfig
from daemon.engine.docker import DockerEngine
from daemon.engine.engine import Exit, Limits, OutputStream, Privilege, SandboxSpec
from daemon.network import resolve_network
from daemon.tarball import stream
from daemon.toolchains import labels
from daemon.toolchains.check import check
from daemon.toolchains.errors import BadToolchain, MakeFailed
from daemon.toolchains.make import Recipe, WayOut, make_from_image
from daemon.toolchains.offers import labelled
from daemon.toolchains.probe import probe
from daemon.toolchains.toolchain import UV, PythonFacts, Toolchain, ToolchainFacts
from tests.fakes.rootfs import rootfs

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
STABLE = "bloomery/toolchain:stable"
UV_FILE = Path(find_uv_bin())
BYTECODE = 'find "$library" -path "*/__pycache__/*.pyc" -type f'
LIMITS = Limits(deadline=120, silence=120)


@pytest.fixture
async def engine() -> AsyncIterator[DockerEngine]:
    async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as engine:
        yield engine


@pytest.fixture(scope="module")
def facts() -> ToolchainFacts:
    """Those of the stable toolchain; a probe reads the whole image, so one is shared."""

    async def ask() -> ToolchainFacts:
        async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as engine:
            return await probe(engine.sandboxes, engine.images, STABLE)

    return asyncio.run(ask())


@pytest.fixture
async def reference(engine: DockerEngine) -> AsyncIterator[str]:
    reference = f"bloomery-tc-contract:{secrets.token_hex(4)}"
    yield reference
    await engine.images.remove(reference)


def way_out() -> WayOut:
    network = resolve_network(NetworkConfig(), os.environ)
    bundle = network.ca_bundle.read_bytes() if network.ca_bundle else b""
    return WayOut(network=network.mode, proxies=network.environment, ca_bundle=bundle)


async def run(
    engine: DockerEngine, image: str, script: str, *, commit: str = "", privilege: Privilege = Privilege.CONFINED
) -> tuple[Exit, str]:
    """A shell script in an image: as a build would run it, or as root and then committed."""
    spec = SandboxSpec(
        name=f"bloomery-tc-contract-{secrets.token_hex(4)}",
        image=image,
        command=("sh", "-c", script),
        working_directory="/",
        limits=LIMITS,
        privilege=privilege,
        user="0:0" if privilege is Privilege.MAKER else "10001:10001",
    )
    out = bytearray()
    sandbox = await engine.sandboxes.create(spec)
    try:
        exit_ = await engine.sandboxes.run(
            sandbox, lambda which, piece: out.extend(piece if which is OutputStream.STDOUT else b""), LIMITS
        )
        if commit:
            await engine.images.commit(sandbox, commit, {})
    finally:
        await engine.sandboxes.remove(sandbox)
    return exit_, out.decode()


async def test_the_stable_toolchain_is_known_from_its_image(engine: DockerEngine, facts: ToolchainFacts):
    image = await engine.images.inspect(STABLE)
    assert image is not None
    assert facts.image_id == image.id
    assert facts.rustc_version_verbose.splitlines()[0].startswith(f"rustc {facts.release} (")
    assert facts.host == "x86_64-unknown-linux-gnu"
    assert facts.cargo_version.startswith("cargo 1.")
    assert facts.libc.startswith("glibc 2.")


async def test_no_file_of_the_image_is_newer_than_its_artefacts_and_they_are_of_the_past(
    engine: DockerEngine, facts: ToolchainFacts
):
    newer = f"find /usr /lib /etc/ssl /cargo /target -xdev -type f -newermt @{facts.artefact_mtime - 1}.999 | head -n 3"
    exit_, out = await run(engine, STABLE, f"{newer}; date +%s")
    *found, now = out.split()
    assert (exit_.code, found) == (0, [])
    assert facts.artefact_mtime <= int(now)


async def test_compiler_and_linker_are_known_by_content(engine: DockerEngine, facts: ToolchainFacts):
    _, out = await run(
        engine,
        STABLE,
        'sha256sum "$(rustc --print sysroot)"/bin/rustc "$(cc -print-prog-name=cc1)" "$(readlink -f /usr/bin/ld)" '
        '"$(readlink -f /usr/bin/cc)" "$(readlink -f /usr/bin/as)" /lib/x86_64-linux-gnu/libc.so.6',
    )
    *toolchain, libc = [line.split()[0] for line in out.splitlines()]
    assert len(toolchain) == 5
    assert set(toolchain) <= set(facts.sysroot_digests)
    assert libc not in facts.sysroot_digests


async def test_the_image_holds_no_documentation(engine: DockerEngine):
    _, out = await run(
        engine,
        STABLE,
        "ls -d /usr/local/rust/share /usr/share/man/man1 /usr/share/locale/de 2>/dev/null; "
        "find /usr/share/doc -type f ! -name copyright | head -n 3",
    )
    assert out == ""


async def test_the_paths_belong_to_whom_they_should(engine: DockerEngine):
    _, out = await run(
        engine, STABLE, "stat -c '%n %u:%g %a' /work /target /cargo /env /home/build /etc/bloomery; id -un"
    )
    assert out.splitlines() == [
        "/work 0:0 755",
        "/target 10001:10001 755",
        "/cargo 10001:10001 755",
        "/env 10001:10001 755",
        "/home/build 10001:10001 755",
        "/etc/bloomery 0:0 755",
        "build",
    ]


async def test_a_crate_is_compiled_and_run_with_it(engine: DockerEngine, facts: ToolchainFacts):
    trial = await check(engine.sandboxes, Toolchain(name="stable", image_reference=STABLE, facts=facts))
    assert trial.seconds > 0


@pytest.fixture
def python(facts: ToolchainFacts) -> PythonFacts:
    assert facts.python is not None, facts.python_lacks
    return facts.python


async def test_its_python_is_known(engine: DockerEngine, python: PythonFacts):
    program = "import json, sys, sysconfig; print('%d.%d.%d' % sys.version_info[:3], json.__path__[0])"
    _, out = await run(engine, STABLE, f'{python.executable} -c "{program}"; readlink -f /usr/bin/python3')
    assert out == f"{python.version} {python.library}/json\n{python.executable}\n"


async def test_a_builds_user_can_run_uv_and_compile_against_python(engine: DockerEngine, python: PythonFacts):
    exit_, out = await run(
        engine,
        STABLE,
        f"{UV} --version && uv --version && touch /env/x && cd /tmp && "
        "printf '#include <Python.h>\\nint answer(void) { return PY_MAJOR_VERSION; }\\n' >x.c && "
        f"cc -c $({python.executable}-config --includes) x.c && id -u",
    )
    assert exit_.code == 0
    *versions, user = out.splitlines()
    assert [version.split()[:2] for version in versions] == [["uv", python.uv]] * 2
    assert user == "10001"


async def test_all_bytecode_of_the_standard_library_is_believed_whatever_a_files_time(
    engine: DockerEngine, python: PythonFacts
):
    _, out = await run(
        engine,
        STABLE,
        f"library={python.library}; {BYTECODE} -exec od -A n -t x1 -j 4 -N 4 {{}} \\; | sort | uniq -c; "
        'find "$library" -name "*.py" -not -path "*/lib2to3/*" | wc -l',
    )
    *flags, modules = out.splitlines()
    [(count, *flag)] = [line.split() for line in flags]
    assert flag == ["01", "00", "00", "00"]
    assert int(count) >= int(modules) > 500


async def test_where_all_files_have_one_time_nothing_is_compiled_at_a_start(engine: DockerEngine, python: PythonFacts):
    _, out = await run(
        engine,
        STABLE,
        f"find {python.library} -type f -exec touch -d @978307200 {{}} + && "
        f"{python.executable} -v -B -c 'import asyncio, json' 2>&1 | grep -c -e ' matches /' -e 'bytecode is stale'; "
        f"{python.executable} -v -B -c 'import asyncio, json' 2>&1 | grep -c 'bytecode is stale'",
        privilege=Privilege.MAKER,
    )
    looked, stale = map(int, out.split())
    assert (looked > 50, stale) == (True, 0)


async def test_an_image_that_cannot_serve_python_projects_says_why_and_is_a_toolchain(
    engine: DockerEngine, reference: str, facts: ToolchainFacts
):
    await run(
        engine,
        STABLE,
        f"rm {UV}; chown 0:0 /env; cd /usr/lib && python3 -m py_compile python3*/json/decoder.py",
        commit=reference,
        privilege=Privilege.MAKER,
    )
    found = await probe(engine.sandboxes, engine.images, reference)
    assert found.python is None
    assert found.python_lacks == (
        "the directory /env, writable by 10001",
        f"the program {UV}",
        "bytecode of the standard library that is unchecked-hash",
    )
    assert (found.release, found.sysroot_digests) == (facts.release, facts.sysroot_digests)


async def test_what_an_image_lacks_is_named(engine: DockerEngine, reference: str):
    await run(
        engine,
        STABLE,
        "rm /usr/bin/perl /usr/bin/cc && sed -i /10001/d /etc/passwd && chown 0:0 /target && rmdir /etc/bloomery",
        commit=reference,
        privilege=Privilege.MAKER,
    )
    with pytest.raises(BadToolchain) as caught:
        await probe(engine.sandboxes, engine.images, reference)
    assert caught.value.evidence["lacks"] == [
        "the program cc",
        "the program perl",
        "the user 10001 with group 10001",
        "the directory /etc/bloomery",
        "the directory /target, writable by 10001",
    ]


async def test_an_image_without_rust_is_no_toolchain_and_cannot_be_made_one(engine: DockerEngine, reference: str):
    await engine.images.import_root(stream(rootfs(("sh", "cat", "id", "rm"))), reference, ("ENV PATH=/bin",))
    with pytest.raises(BadToolchain):
        await probe(engine.sandboxes, engine.images, reference)
    recipe = Recipe(name="contract", reference=f"{reference}-made")
    with pytest.raises(MakeFailed, match="there is no rustc in this image"):
        await make_from_image(
            engine.sandboxes, engine.images, engine.survey, recipe, reference,
            uv=UV_FILE, way_out=way_out(), progress=print,
        )  # fmt: skip
    assert await engine.images.inspect(recipe.reference) is None


async def test_an_image_is_made_from_another_with_a_package_more(
    engine: DockerEngine, reference: str, facts: ToolchainFacts, python: PythonFacts
):
    recipe = Recipe(name="contract", reference=reference, packages=("tree",))
    image = await make_from_image(
        engine.sandboxes, engine.images, engine.survey, recipe, STABLE,
        uv=UV_FILE, way_out=way_out(), progress=print,
    )  # fmt: skip
    made = await engine.images.inspect(reference)
    assert made is not None
    assert made.id == image
    assert labelled((made,)) == {"contract": reference}
    assert made.labels[labels.PACKAGES] == "tree"
    assert not any("proxy" in name.lower() for name in made.environment)
    exit_, out = await run(engine, reference, "tree --version && ls -A /etc/bloomery /var/lib/apt/lists")
    assert exit_.code == 0
    assert out.startswith("tree v")
    assert "make" not in out
    bytecode = f"library={python.library}; {BYTECODE} -exec sha256sum {{}} + | sort | sha256sum"
    assert (await run(engine, reference, bytecode))[1] == (await run(engine, STABLE, bytecode))[1]
    again = await probe(engine.sandboxes, engine.images, reference)
    assert again.artefact_mtime > facts.artefact_mtime
    assert replace(again, image_id=facts.image_id, artefact_mtime=facts.artefact_mtime) == facts


def command(*words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "api", "toolchain", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_the_command_line_lists_what_is_offered(facts: ToolchainFacts, python: PythonFacts):
    [stable] = [row for row in json.loads(command("ls", "--json")) if row["name"] == "stable"]
    assert (stable["release"], stable["image_id"], stable["reference"]) == (facts.release, facts.image_id, STABLE)
    assert stable["python"] == {"version": python.version, "uv": python.uv}
    shown = (facts.release, python.version, python.uv, facts.image_id[7:19])
    assert re.search(rf"(?m)^stable +{' +'.join(map(re.escape, shown))} .*{STABLE}$", command("ls"))


def test_the_command_line_tries_what_is_offered(tmp_path: Path, python: PythonFacts):
    config = tmp_path / "config.toml"
    config.write_text(f'[toolchains.images]\nours = "{STABLE}"\n')
    shown = re.escape(f"Python {python.version}, uv {python.uv}")
    assert re.fullmatch(rf"ours: works \(.*\), layout v1, {shown}\n", command("check", "--config", str(config)))
    [tried] = json.loads(command("check", "--json", "--config", str(config)))
    assert (tried["name"], tried["works"], tried["layout"], tried["against"]) == ("ours", True, "v1", {})
    assert (tried["python"], tried["python_lacks"]) == ({"version": python.version, "uv": python.uv}, [])
