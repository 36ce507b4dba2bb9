#!/bin/sh
# A second Docker engine on the overlay2 storage driver, for measurements on a host whose own engine has another one.
#
#   eval "$(bench/overlay2_engine.sh start)"     starts it, and sets DOCKER_HOST to it
#   bench/overlay2_engine.sh stop                ends it and removes all that it held
#
# It has a bridge of its own, without a way out: measure with --network host. The toolchain image is copied into it from
# the engine that DOCKER_HOST names, or Docker's socket. Needs root, dockerd, and a disk that overlay2 can stand on
# (BENCH_ENGINE, by default /var/tmp/bloomery-bench-engine; 5 GB).
set -eu

home=${BENCH_ENGINE:-/var/tmp/bloomery-bench-engine}
bridge=brbench
subnet=172.29.77.1/24
socket=$home/engine.sock
image=${BENCH_TOOLCHAIN:-bloomery/toolchain:stable}

start() {
  if [ -e "$home" ]; then
    echo "overlay2_engine: $home is there already: run \"$0 stop\" first" >&2
    exit 1
  fi
  mkdir -p "$home"
  trap 'stop' EXIT
  echo '{}' >"$home/empty.json"
  ip link add "$bridge" type bridge
  ip addr add "$subnet" dev "$bridge"
  ip link set "$bridge" up
  setsid dockerd --config-file "$home/empty.json" --data-root "$home/data" --exec-root "$home/exec" \
    --pidfile "$home/engine.pid" --host "unix://$socket" --storage-driver overlay2 \
    --bridge "$bridge" --iptables=false >"$home/engine.log" 2>&1 </dev/null &
  tries=0
  until docker --host "unix://$socket" info >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ]; then
      tail -20 "$home/engine.log" >&2
      echo "overlay2_engine: it did not start within a minute; its last words are above" >&2
      exit 1
    fi
    sleep 0.5
  done
  echo "overlay2_engine: copying $image" >&2
  timeout 600 sh -c 'docker save "$1" | docker --host "$2" load >&2' copy "$image" "unix://$socket"
  trap - EXIT
  echo "export DOCKER_HOST=unix://$socket"
}

stop() {
  if [ -s "$home/engine.pid" ]; then
    pid=$(cat "$home/engine.pid")
    docker --host "unix://$socket" ps --quiet 2>/dev/null |
      xargs -r timeout 60 docker --host "unix://$socket" rm --force >/dev/null 2>&1 || true
    kill "$pid" 2>/dev/null || true
    tries=0
    while [ -e "/proc/$pid" ] && [ "$tries" -lt 60 ]; do
      tries=$((tries + 1))
      sleep 0.5
    done
    if [ -e "/proc/$pid" ]; then
      echo "overlay2_engine: process $pid does not end; nothing was removed" >&2
      exit 1
    fi
  fi
  ip link del "$bridge" 2>/dev/null || true
  # the engine's own: what it mounts for containers of the host's network, and its data on some drivers
  awk -v below="$home/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n 1 umount
  rm -rf "$home"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
