#!/bin/sh
# Sees to it that the engine has what the examples run beside: a database and a mail server, of Debian's packages.
set -eu
cd "$(dirname "$0")/../.."
. deploy/setup/debian.sh

command -v mmdebstrap >/dev/null 2>&1 || need "mmdebstrap, which makes the stand-ins" mmdebstrap
apt-get indextargets --format '$(ORIGIN)' 'Created-By: Packages' | grep -qx Debian || {
  echo "setup: fetching apt's package lists"
  apt-get -q update >/dev/null
}
.venv/bin/python -m deploy.stand_ins.make >/dev/null
