"""The standard library's bytecode in a toolchain image, compiled so that it is believed in every runtime image.

Debian's is believed for the source's time alone, and a runtime image gives all files one time. What is compiled here
says of itself that nobody need compare anything: `unchecked-hash`, by PEP 552 (https://peps.python.org/pep-0552/).
"""

import shlex

from daemon.ecosystems.step import SOURCE_TIME

# Compiled from nothing, in one process and in the order of names: what is marked in bytecode as used more than once
# depends on what the process has loaded. `-B` keeps it from writing bytecode of what it loads itself.
_PYTHON = f'env -i PATH="$PATH" LC_ALL=C.UTF-8 PYTHONHASHSEED=0 SOURCE_DATE_EPOCH={SOURCE_TIME} python3 -B -s -S'
_NOT_COMPILED = "bad_coding|badsyntax|(site|dist)-packages|lib2to3/(tests/)?data"
"""What CPython's own Makefile leaves out, and packages that are not the standard library's."""
_LIBRARY = f"library=$({_PYTHON} -c \"import sysconfig; print(sysconfig.get_path('stdlib'))\")"
_REMOVE = (
    r'find "$library" \( -name site-packages -o -name dist-packages \) -prune '
    "-o -type d -name __pycache__ -prune -exec rm -rf {} +"
)
_COMPILE = f'{_PYTHON} -m compileall -q -f --invalidation-mode unchecked-hash -x "{_NOT_COMPILED}" "$library"'
STEP = f"sh -c {shlex.quote(f'{_LIBRARY} && {_REMOVE} && {_COMPILE}')}"
"""Run as root inside: for the standard library of the `python3` in PATH, in place; one line."""
