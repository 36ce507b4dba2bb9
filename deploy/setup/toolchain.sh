#!/bin/sh
# toolchain.sh NAME: sees to it that the engine has a toolchain image of this name, with Python, made of the host's rustup
# toolchain.
set -eu
cd "$(dirname "$0")/../.."
. deploy/setup/debian.sh

name=${1:?usage: toolchain.sh NAME}
offered=$(.venv/bin/bloomery toolchain ls --json)
serves='import json, sys; sys.exit(not any(row["name"] == sys.argv[1] and row["python"] for row in json.load(sys.stdin)))'
if printf '%s' "$offered" | .venv/bin/python -c "$serves" "$name"; then exit 0; fi

toolchains=${RUSTUP_HOME:-$HOME/.rustup}/toolchains
if ! [ -x "$toolchains/$name/bin/cargo" ] && ! [ -x "$toolchains/$name-x86_64-unknown-linux-gnu/bin/cargo" ]; then
  echo "setup: there is no Rust toolchain '$name' in $toolchains. Either install it there:" \
    "rustup toolchain install $name --profile minimal; or make the image from one that can be pulled:" \
    ".venv/bin/bloomery toolchain make $name --from-image rust:latest" >&2
  exit 1
fi
command -v mmdebstrap >/dev/null 2>&1 || need "mmdebstrap, which makes the toolchain image" mmdebstrap
apt-get indextargets --format '$(ORIGIN)' 'Created-By: Packages' | grep -qx Debian || {
  echo "setup: fetching apt's package lists"
  apt-get -q update >/dev/null
}
echo "setup: making the toolchain image '$name' (about a minute)"
.venv/bin/bloomery toolchain make "$name" >/dev/null
