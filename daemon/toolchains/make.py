"""Making toolchain images: from Debian's packages and the host's rustup, or from an image that has a Rust toolchain.

Both end with the same shape: `cargo` and `rustc` first in PATH under /usr/local/rust/bin (no rustup proxy, which would
obey the project's toolchain file), `python3` with bytecode that stays valid and the uv that stands beside Bloomery,
user 10001, the constant paths, and the labels of `daemon.toolchains.labels`.
"""

import secrets
import shlex
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from daemon import tarball
from daemon.engine.engine import Images, Limits, Network, Privilege, Sandboxes, SandboxSpec, Survey
from daemon.engine.names import repository_and_tag
from daemon.errors import EngineRefused, ImageGone
from daemon.toolchains import bytecode, debian, labels, mmdebstrap, rustup
from daemon.toolchains.debian import Cached
from daemon.toolchains.errors import MakeFailed
from daemon.toolchains.mmdebstrap import Progress
from daemon.toolchains.toolchain import UV

PATH = "/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_LIMITS = Limits(pids=4096, open_files=8192, deadline=1800.0, silence=600.0)
_STEP = "etc/bloomery/make"
_CA_BUNDLE = "etc/bloomery/make-ca.pem"
PYTHON_WANTED = f"""\
case $(readlink -f "$(command -v python3)") in
  '' | /usr/bin/*) wanted="$wanted {" ".join(debian.PYTHON)}" ;;
esac"""
"""Of a shell script: adds Debian's Python to `wanted`, unless another one is first in PATH."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is asked for: the offered name, the tag, and Debian packages beside the usual ones."""

    name: str
    reference: str
    packages: tuple[str, ...] = ()

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return labels.of(self.name, ":".join(repository_and_tag(self.reference)), self.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """How a step inside a container reaches package sources; nothing of it stays in the image."""

    network: Network = Network.BRIDGE
    proxies: Mapping[str, str] = field(default_factory=dict)
    """`http_proxy`, `https_proxy`, `no_proxy`."""
    ca_bundle: bytes = b""
    """PEM; empty where the image's own serves."""


async def make_from_rustup(
    images: Images,
    recipe: Recipe,
    sysroot: Path,
    cache_directory: Path,
    *,
    uv: Path,
    environment: Mapping[str, str],
    cached: Cached,
    progress: Progress,
) -> str:
    """Make the image from Debian's packages and a rustup toolchain of the host; returns its id.

    One stream goes to the engine, made while it is sent: memory stays flat. `environment` is what apt runs with, `uv`
    the program's file on this host.
    """
    rootfs = await debian.rootfs(
        cache_directory, recipe.packages, environment=environment, cached=cached, progress=progress
    )
    progress(f"importing it with {sysroot.name} as {recipe.reference}")
    before = await images.inspect(recipe.reference)
    image = await images.import_root(
        tarball.threaded(_root(sysroot, uv, rootfs)),
        recipe.reference,
        (f"ENV PATH={PATH}", *(f"LABEL {name}={_quoted(value)}" for name, value in recipe.labels.items())),
    )
    await _forget(images, before.id if before and len(before.tags) == 1 else image, image)
    return image


async def make_from_image(
    sandboxes: Sandboxes,
    images: Images,
    survey: Survey,
    recipe: Recipe,
    source: str,
    *,
    uv: Path,
    way_out: WayOut,
    progress: Progress,
) -> str:
    """Make the image from one that has cargo and a Debian userland, pulled if it is not here; returns its id.

    What it lacks of the usual Debian packages is installed. `MakeFailed` with the step's last words where that fails.
    """
    if await images.inspect(source) is None:
        progress(f"pulling {source}")
        await survey.pull(source)
    origin = await images.inspect(source)
    if origin is None:
        raise ImageGone(f"{source} was pulled and is gone again", image=source)
    before = await images.inspect(recipe.reference)
    spec = SandboxSpec(
        name=f"bloomery-tc-make-{secrets.token_hex(6)}",
        image=origin.id,
        command=("sh", f"/{_STEP}"),
        environment={"PATH": f"/usr/local/rust/bin:{origin.environment.get('PATH', PATH)}"},
        labels={"bloomery.step": "toolchain"},
        network=way_out.network,
        limits=_LIMITS,
        working_directory="/",
        user="0:0",
        privilege=Privilege.MAKER,
    )
    sandbox = await sandboxes.create(spec)
    try:
        await sandboxes.put(sandbox, tarball.stream(_step_members(recipe, uv, way_out)))
        progress(f"preparing {source}")
        last = bytearray()
        exit_ = await sandboxes.run(sandbox, lambda _, piece: _keep_end(last, piece), _LIMITS)
        if exit_.code:
            raise MakeFailed(
                f"the step in {source} ended with code {exit_.code}: {last.decode(errors='replace').strip()[-1500:]}",
                image=source,
            )
        progress(f"committing it as {recipe.reference}")
        image = await images.commit(sandbox, recipe.reference, recipe.labels)
    finally:
        await sandboxes.remove(sandbox)
    await _forget(images, before.id if before and len(before.tags) == 1 else image, image)
    return image


def _root(sysroot: Path, uv: Path, rootfs: Path) -> Generator[bytes, None, None]:
    # the toolchain first: the other archive's end is then this one's, and its directories' modes win
    yield from tarball.entries(chain(rustup.members(sysroot), (_uv(uv),)))
    yield from mmdebstrap.unpacked(rootfs)


def _uv(file: Path) -> tarball.Member:
    status = file.stat()
    return tarball.Member(path=UV.lstrip("/"), mode=0o755, mtime=int(status.st_mtime), source=file, size=status.st_size)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def _keep_end(held: bytearray, piece: bytes) -> None:
    held += piece
    del held[:-8192]


async def _forget(images: Images, old: str, new: str) -> None:
    """Remove the image that the tag stood for before, unless something is made of it."""
    if old == new:
        return
    try:
        await images.remove(old)
    except EngineRefused:
        return


def _step_members(recipe: Recipe, uv: Path, way_out: WayOut) -> Iterator[tarball.Member]:
    yield tarball.Member(path="etc/bloomery", mode=0o755, mtime=0)
    yield _uv(uv)
    yield tarball.Member(path=_STEP, mode=0o700, mtime=0, content=step(recipe, way_out).encode())
    if way_out.ca_bundle:
        yield tarball.Member(path=_CA_BUNDLE, mode=0o644, mtime=0, content=way_out.ca_bundle)


def step(recipe: Recipe, way_out: WayOut) -> str:
    """The shell script that turns an image into a toolchain image; it removes itself."""
    usual = (package for package in debian.PACKAGES if package not in debian.PYTHON)
    wanted = " ".join(dict.fromkeys((*usual, *recipe.packages)))
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in way_out.proxies.items() if value)
    authority = f"-o Acquire::https::CAInfo=/{_CA_BUNDLE}" if way_out.ca_bundle else ""
    rules = "".join(f" -o DPkg::Options::=--{rule}" for rule in mmdebstrap.PATH_RULES)
    user, *rest = debian.USER_STEPS[1:]
    return f"""set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
{exports}
trap 'rm -f /{_STEP} /{_CA_BUNDLE}' EXIT
sysroot=$(cd / && rustc --print sysroot) || {{ echo 'there is no rustc in this image' >&2; exit 1; }}
[ "$sysroot" = /{rustup.SYSROOT} ] || {{ rm -f /{rustup.SYSROOT}; ln -s "$sysroot" /{rustup.SYSROOT}; }}
wanted='{wanted}'
{PYTHON_WANTED}
missing=
for package in $wanted; do
  dpkg-query -W -f '${{Status}}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  apt-get -q {authority} update
  apt-get -q -y {authority} --no-install-recommends{rules} install $missing
  apt-get clean
  rm -rf /var/lib/apt/lists/*
fi
grep -q '^[^:]*:[^:]*:10001:' /etc/group || {debian.USER_STEPS[0]}
grep -q '^[^:]*:[^:]*:10001:10001:' /etc/passwd || {user}
{chr(10).join(rest)}
{bytecode.STEP}
"""
