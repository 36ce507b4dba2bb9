#!/usr/bin/env bash
# The main job on real input: see deploy/demo.py. `make demo` has set everything up before this runs.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python deploy/demo.py
