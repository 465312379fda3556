#!/usr/bin/env bash
# Fetches the pinned wheels of NVRTC and of the disassembler into ${CARGO_TARGET_DIR:-target}/nvrtc, where the tests of
# this package look.
#
# Nothing is installed and no GPU is needed. A second run does nothing; a failed run leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

# Kept equal to PINNED_WHEEL of src/compile.rs by a test.
wheel="nvidia-cuda-nvrtc-cu12==12.9.86"
# Reads machine code back, which shows that tensor cores are used and registers suffice.
disassembler="nvidia-cuda-nvdisasm==13.2.51"
folder="${CARGO_TARGET_DIR:-target}/nvrtc"

if [[ -f "$folder/wheel" && "$(cat "$folder/wheel")" == "$wheel $disassembler" ]]; then
    exit 0
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
    printf 'nvrtc: python3 with pip is needed to fetch %s\n' "$wheel" >&2
    exit 1
fi
mkdir -p "$(dirname "$folder")"
scratch="$(mktemp -d "$folder.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
python3 -m pip download --no-deps --only-binary :all: --disable-pip-version-check --quiet --dest "$scratch" \
    "$wheel" "$disassembler"
mkdir "$scratch/unpacked"
for each in "$scratch"/*.whl; do
    python3 -m zipfile -e "$each" "$scratch/unpacked"
done
chmod +x "$scratch/unpacked/nvidia/cu13/bin/nvdisasm"
printf '%s %s\n' "$wheel" "$disassembler" >"$scratch/unpacked/wheel"
rm -rf "$folder"
mv "$scratch/unpacked" "$folder"
printf 'nvrtc: %s and %s unpacked into %s\n' "$wheel" "$disassembler" "$folder"
