#!/bin/sh
# Sees to it that there is what the examples' proofs run: Compose, curl, and openssl for one of them.
set -eu
cd "$(dirname "$0")/../.."
. deploy/setup/debian.sh

docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null 2>&1 || need "Compose" docker-compose
command -v curl >/dev/null 2>&1 || need "curl, which asks the examples" curl
command -v openssl >/dev/null 2>&1 || need "openssl, which makes an example's certificate" openssl
