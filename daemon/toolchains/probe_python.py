"""The part of the probe that looks for Python: an image that lacks any of it still serves Rust projects.

All bytecode of the standard library must be `unchecked-hash`: a runtime image gives every file one time, and Python
would compile anew, at each start, what was compiled for a source of another one.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

from daemon.toolchains.toolchain import UV, PythonFacts

_UNCHECKED = "unchecked-hash"

# PEP 552: four bytes of magic number, then 32 bits of flags, of which the first alone is unchecked-hash. One module
# stands for all that should be there; none may be otherwise.
_PROGRAM = r"""
import importlib.util, os, sys, sysconfig
numbers, level, serial = sys.version_info[:3], sys.version_info[3], sys.version_info[4]
mark = "" if level == "final" else {"alpha": "a", "beta": "b"}.get(level, "rc") + str(serial)
library = os.path.realpath(sysconfig.get_path("stdlib"))
print("version", "%d.%d.%d" % numbers + mark)
print("executable", os.path.realpath(sys.executable))
print("library", library)
def head(path):
    with open(path, "rb") as file:
        return file.read(8)
unchecked = (1).to_bytes(4, "little")
first = head(importlib.util.cache_from_source(os.path.join(library, "os.py")))
wrong = first != importlib.util.MAGIC_NUMBER + unchecked
for directory, below, names in os.walk(library):
    below[:] = [name for name in below if name not in ("site-packages", "dist-packages")]
    if os.path.basename(directory) == "__pycache__":
        wrong |= any(head(os.path.join(directory, name))[4:] != unchecked for name in names)
print("bytecode", "other" if wrong else "unchecked-hash")
"""
SCRIPT = f"""\
[ -d /env ] && [ -w /env ] || say python_lacks 'the directory /env, writable by 10001'
if command -v python3 >/dev/null 2>&1; then
  python3 -I -B -c '{_PROGRAM}' 2>/dev/null | while IFS= read -r line; do say python "$line"; done
else
  say python_lacks 'the program python3'
fi
if [ -x {UV} ]; then
  say uv "$({UV} --version 2>/dev/null | head -n 1)"
else
  say python_lacks 'the program {UV}'
fi
"""
"""For the probe's own script, whose `say` it uses."""

_PATH = re.compile(r"(/[A-Za-z0-9._+-]+)+")
_VALUES = {"version": re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?"), "executable": _PATH, "library": _PATH}
_UV_ANSWER = re.compile(r"uv (\d+\.\d+\.\d+)( .*)?")


def found(values: Mapping[str, Sequence[str]]) -> tuple[PythonFacts | None, tuple[str, ...]]:
    """What the script's lines say by their keys: the facts, or None and what is lacking for them."""
    lacks = list(values.get("python_lacks", ()))
    told = dict(line.partition(" ")[::2] for line in values.get("python", ()))
    if told:
        lacks += [f"a python3 that says its {key}" for key in _VALUES if not _sound(key, told.get(key, ""))]
        if told.get("bytecode") != _UNCHECKED:
            lacks.append(f"bytecode of the standard library that is {_UNCHECKED}")
    elif "the program python3" not in lacks:
        lacks.append("a python3 that answers")
    uv = _UV_ANSWER.fullmatch("".join(values.get("uv", ())))
    if uv is None and f"the program {UV}" not in lacks:
        lacks.append("a uv that answers")
    if uv is None or lacks:
        return None, tuple(lacks)
    return PythonFacts(version=told["version"], executable=told["executable"], library=told["library"], uv=uv[1]), ()


def _sound(key: str, value: str) -> bool:
    return _VALUES[key].fullmatch(value) is not None and posixpath.normpath(value) == value
