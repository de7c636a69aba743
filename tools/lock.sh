#!/bin/bash
# Writes the lock files anew from pyproject.toml: newest versions, with the hashes of all their files.
# requirements.lock is for this checkout, requirements-run.lock for `make install`.
set -euo pipefail
cd "$(dirname "$0")/.."

uv_home=$(mktemp -d)
trap 'rm -rf "$uv_home"' EXIT
python3 -m venv "$uv_home"
"$uv_home/bin/pip" install -qq --disable-pip-version-check uv

lock() {
    local out=$1
    shift
    "$uv_home/bin/uv" pip compile --quiet --universal --upgrade --generate-hashes --no-header \
        --python-version 3.11 "$@" --output-file "$out" pyproject.toml tools/build-requirements.in
}
lock requirements.lock --all-extras
lock requirements-run.lock --constraints requirements.lock
