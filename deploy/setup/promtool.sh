#!/bin/sh
# Sees to it that promtool is there: a test holds the metrics to it. Debian ships it with Prometheus, which stays off.
set -eu
cd "$(dirname "$0")/../.."
. deploy/setup/debian.sh

command -v promtool >/dev/null 2>&1 || need_stopped "promtool, which a test runs" prometheus
