#!/usr/bin/env bash
# Makes a virtual environment with Prometheus's own parsers of metrics, in ${CARGO_TARGET_DIR:-target}/parsers, where
# the tests of this package look. A second run does nothing; a failed run leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."

parsers="prometheus-client==0.26.0"
folder="${CARGO_TARGET_DIR:-target}/parsers"

if [[ -f "$folder/parsers" && "$(cat "$folder/parsers")" == "$parsers" ]]; then
    exit 0
fi
if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
    printf 'parsers: python3 with venv is needed to install %s\n' "$parsers" >&2
    exit 1
fi
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
trap '[[ -f "$folder/parsers" ]] || rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --quiet --only-binary :all: "$parsers"
printf '%s\n' "$parsers" >"$folder/parsers"
printf 'parsers: %s installed into %s\n' "$parsers" "$folder"
