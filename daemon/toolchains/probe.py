"""Looking into a toolchain image: is everything there that a build needs, and what exactly is it?

One confined container without network runs a small script as the build's own user. It prints lines of
`key<TAB>value` and `end` last; anything else, or anything missing, makes the image no toolchain.
"""

import re
import secrets

from cache.errors import Evidence
from daemon.engine.engine import Images, Limits, OutputStream, Sandboxes, SandboxSpec
from daemon.errors import ImageGone
from daemon.toolchains import probe_python
from daemon.toolchains.errors import BadToolchain
from daemon.toolchains.toolchain import ToolchainFacts

_LIMITS = Limits(deadline=300.0, silence=300.0, output=4 << 20)

VERSION = 2
"""What facts are marked with; a script that finds something else gets the next one."""

# The files left out of the search for the newest one are the engine's own, made anew in every container. Most of the
# time goes into hashing 700 MB of compilers, so that goes on beside the rest, twice at once, and by openssl where the
# image has it: with the processor's own instructions it takes a fourth of sha256sum's time. What does not come out
# whole is hashed again, so a digest of every file stands in the answer, or the image is no toolchain.
_RUST = r"""
export LC_ALL=C
say() { printf '%s\t%s\n' "$1" "$2"; }
sysroot=$(rustc --print sysroot 2>/dev/null)
compilers() {
  [ -n "$sysroot" ] && find "$sysroot/bin" "$sysroot/lib" -type f -size +4095c -print0
  for program in cc1 cc1plus collect2 lto1 ld as; do
    file=$(readlink -f "$(cc -print-prog-name="$program")")
    [ -f "$file" ] || file=$(readlink -f "$(command -v "$program")")
    [ -f "$file" ] && printf '%s\0' "$file"
  done
  file=$(readlink -f "$(command -v cc)") && printf '%s\0' "$file"
}
hashed() { xargs -0 -r -P 2 -n 8 sh -c "$1 \"\$@\" | cut -d ' ' -f 1" sh </tmp/files >/tmp/digests; }
whole() { [ "$(grep -c '^[0-9a-f]\{64\}$' /tmp/digests)" = "$(tr -cd '\0' </tmp/files | wc -c)" ]; }
{
  compilers >/tmp/files
  hashed 'openssl dgst -sha256 -r'
  whole || hashed sha256sum
} 2>/dev/null &
for tool in cargo rustc cc ar as ld perl tar find sort touch chmod mkdir rm sha256sum getconf readlink; do
  command -v "$tool" >/dev/null 2>&1 || say lacks "the program $tool"
done
grep -q '^[^:]*:[^:]*:10001:10001:' /etc/passwd || say lacks 'the user 10001 with group 10001'
for directory in /work /etc/bloomery; do
  [ -d "$directory" ] && [ -r "$directory" ] || say lacks "the directory $directory"
done
for directory in /target /cargo; do
  [ -d "$directory" ] && [ -w "$directory" ] || say lacks "the directory $directory, writable by 10001"
done
rustc -vV 2>&1 | while IFS= read -r line; do say rustc "$line"; done
say cargo "$(cargo -V 2>&1 | head -n 1)"
say sysroot "$sysroot"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
say channel_date "$(sed -n 's/^date = "\([0-9-]*\)"$/\1/p' \
  "$sysroot/lib/rustlib/multirust-channel-manifest.toml" 2>/dev/null | head -n 1)"
say now "$(date +%s)"
say newest "$(find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /.dockerenv \
  -o -path /etc/hosts -o -path /etc/hostname -o -path /etc/resolv.conf -o -path /etc/mtab \) -prune \
  -o -type f -printf '%T@\n' 2>/dev/null | sort -n | tail -n 1)"
"""
_DIGESTS = r"""
wait
whole 2>/dev/null || say lacks 'compilers whose files its user can read'
sort -u /tmp/digests 2>/dev/null | while IFS= read -r digest; do say digest "$digest"; done
echo end
"""
SCRIPT = f"{_RUST}{probe_python.SCRIPT}{_DIGESTS}"
"""For `sh`, as the build's own user."""

_REQUIRED = ("cargo", "sysroot", "libc", "now", "newest")
_V2_SINCE = (1, 100)


async def probe(sandboxes: Sandboxes, images: Images, reference: str) -> ToolchainFacts:
    """Run the script in a container of the image and read its answer.

    `ImageGone` where there is no such image, `BadToolchain` (with `lacks`) where it cannot serve.
    """
    image = await images.inspect(reference)
    if image is None:
        raise ImageGone(f"the engine has no image {reference}: make it with `bloomery toolchain make`, or pull it")
    spec = SandboxSpec(
        name=f"bloomery-tc-probe-{secrets.token_hex(6)}",
        image=image.id,
        command=("sh", "-c", SCRIPT),
        labels={"bloomery.step": "probe"},
        working_directory="/",
        limits=_LIMITS,
    )
    answer = bytearray()
    complaint = bytearray()
    sandbox = await sandboxes.create(spec)
    try:
        exit_ = await sandboxes.run(
            sandbox,
            lambda stream, piece: (answer if stream is OutputStream.STDOUT else complaint).extend(piece),
            _LIMITS,
        )
    finally:
        await sandboxes.remove(sandbox)
    if exit_.code:
        raise BadToolchain(
            f"a shell in {reference} ended with code {exit_.code}: {complaint[-500:].decode(errors='replace').strip()}",
            image=reference,
            lacks=["a working shell"],
        )
    return parse(answer.decode(errors="replace"), image.id, reference)


def parse(answer: str, image_id: str, reference: str) -> ToolchainFacts:
    """Read the script's output; `BadToolchain` for everything that is not exactly as it should be."""
    lines = answer.splitlines()
    if not lines or lines.pop() != "end":
        raise BadToolchain(f"the probe of {reference} was cut off", image=reference, lacks=["a whole answer"])
    values: dict[str, list[str]] = {}
    for line in lines:
        key, tab, value = line.partition("\t")
        if not tab:
            raise BadToolchain(f"the probe of {reference} printed {line[:200]!r}", image=reference, lacks=["an answer"])
        values.setdefault(key, []).append(value.strip())
    lacks = list(values.get("lacks", ()))
    rustc = "\n".join(values.get("rustc", ()))
    version = dict(line.partition(": ")[::2] for line in values.get("rustc", ()))
    lacks += [f"a {key} that answers" for key in _REQUIRED if not "".join(values.get(key, ()))]
    lacks += [f"a rustc that says its {key}" for key in ("release", "host") if key not in version]
    if "rustc" in values and not values.get("digest"):
        lacks.append("a sysroot with files")
    if values.get("sysroot") in (["/usr"], ["/"], ["/usr/local"]):
        lacks.append("a Rust toolchain in a directory of its own (a distribution's packages share theirs)")
    if not lacks and (newest := float(values["newest"][0])) > (now := int(values["now"][0])):
        lacks.append(f"a sane clock: its newest file is {newest - now:.0f} s ahead of the engine's clock")
    if lacks:
        evidence: list[Evidence] = list(lacks)
        raise BadToolchain(
            f"{reference} lacks {', '.join(lacks)}: make a toolchain image from it with "
            f"`bloomery toolchain make NAME --from-image {reference}`",
            image=reference,
            lacks=evidence,
        )
    python, python_lacks = probe_python.found(values)
    return ToolchainFacts(
        image_id=image_id,
        rustc_version_verbose=rustc,
        release=version["release"],
        commit_date=version.get("commit-date", "").replace("unknown", ""),
        channel_date=values.get("channel_date", [""])[0],
        host=version["host"],
        cargo_version=values["cargo"][0],
        sysroot=values["sysroot"][0],
        libc=values["libc"][0],
        artefact_mtime=int(float(values["newest"][0])) + 1,
        sysroot_digests=tuple(sorted(values["digest"])),
        python=python,
        python_lacks=python_lacks,
        layout=_layout(version["release"]),
        probe=VERSION,
    )


def _layout(release: str) -> str:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return "v2" if numbers and (int(numbers[1]), int(numbers[2])) >= _V2_SINCE else "v1"
