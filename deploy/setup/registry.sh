#!/bin/sh
# Sees to it that a registry is there to push to in tests: Debian's docker-registry, whose service stays off.
set -eu
cd "$(dirname "$0")/../.."
. deploy/setup/debian.sh

command -v docker-registry >/dev/null 2>&1 || need_stopped "docker-registry, which tests push to" docker-registry
