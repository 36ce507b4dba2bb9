#!/bin/sh
# Makes .venv with the pinned requirements and this project, or does nothing if it stands as pinned.
set -eu
cd "$(dirname "$0")/../.."
. deploy/setup/debian.sh

python=${PYTHON:-python3}
# The command line starts in half the time from bytecode, which nothing writes under PYTHONDONTWRITEBYTECODE.
bytecode() {
  .venv/bin/python -m compileall -q api daemon cache 2>/dev/null || true
}

stamp=.venv/.made-of-$(cat requirements.txt requirements-dev.txt pyproject.toml | sha256sum | cut -c 1-16)
[ -e "$stamp" ] && bytecode && exit 0

command -v "$python" >/dev/null 2>&1 || need "Python 3.11 or newer" python3 python3-venv
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "setup: $python is $("$python" -V), and 3.11 or newer is needed: name one with make PYTHON=…" >&2
  exit 1
}
if [ ! -x .venv/bin/python ]; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv module" python3-venv
  echo "setup: making .venv with $("$python" -V)"
  "$python" -m venv .venv
fi
echo "setup: installing the pinned requirements"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
.venv/bin/python -m pip install --quiet --require-hashes -r requirements-dev.txt
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
rm -f .venv/.made-of-*
bytecode
: >"$stamp"
