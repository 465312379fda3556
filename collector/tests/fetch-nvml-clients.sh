#!/usr/bin/env bash
# Makes a virtual environment with clients of NVML that others wrote, in ${CARGO_TARGET_DIR:-target}/nvml-clients,
# where the tests of this package look. A second run does nothing; a failed run leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."

clients="nvidia-ml-py==13.615.71 nvitop==1.7.2"
folder="${CARGO_TARGET_DIR:-target}/nvml-clients"

if [[ -f "$folder/clients" && "$(cat "$folder/clients")" == "$clients" ]]; then
    exit 0
fi
if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
    printf 'nvml-clients: python3 with venv is needed to install %s\n' "$clients" >&2
    exit 1
fi
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
trap '[[ -f "$folder/clients" ]] || rm -rf "$folder"' EXIT
python3 -m venv "$folder"
# shellcheck disable=SC2086
"$folder/bin/python" -m pip install --disable-pip-version-check --quiet --only-binary :all: $clients
printf '%s\n' "$clients" >"$folder/clients"
printf 'nvml-clients: %s installed into %s\n' "$clients" "$folder"
