#!/bin/sh
# Sees to it that a container engine answers: DOCKER_HOST's or the one at Docker's socket. Does nothing if one does.
set -eu
cd "$(dirname "$0")/../.."
. deploy/setup/debian.sh

python=.venv/bin/python
answers() { "$python" deploy/setup/ping.py; }
answers && exit 0

if [ -n "${DOCKER_HOST:-}" ]; then
  echo "setup: no container engine answers at DOCKER_HOST=$DOCKER_HOST: start it, or unset DOCKER_HOST" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  if [ -S /var/run/docker.sock ]; then
    echo "setup: Docker's socket does not answer $(id -un): is the daemon running (sudo systemctl start docker)," \
      "and are you in the group docker (sudo usermod -aG docker $(id -un), then log in again)?" >&2
  else
    echo "setup: a container engine is needed: on Debian, install it with: sudo apt-get install docker.io;" \
      "or name one with DOCKER_HOST" >&2
  fi
  exit 1
fi
command -v dockerd >/dev/null 2>&1 || need "a container engine" docker.io

echo "setup: starting the container engine"
log=/var/log/bloomery-dockerd.log
wait_for() {
  tries=$1
  while [ "$tries" -gt 0 ]; do
    answers && exit 0
    tries=$((tries - 1))
    sleep 0.5
  done
}
if [ -d /run/systemd/system ]; then
  systemctl start docker || true
  log="what journalctl -u docker shows"
else
  wait_for 4 # the package's own script may have started it
  setsid dockerd >"$log" 2>&1 </dev/null &
fi
wait_for 120
echo "setup: dockerd was started and does not answer; see $log" >&2
exit 1
