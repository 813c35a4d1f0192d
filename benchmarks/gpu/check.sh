#!/usr/bin/env bash
# First call on a machine with a GPU: is everything right there, and how fast. Run in the checkout's folder.
#
#   OUT=out benchmarks/gpu/check.sh [DEVICE, default cuda] [SECONDS OF EACH LOAD, default 5]
#
# Each part has a time limit and may fail without ending the others; OUT/summary.txt has the exit status and time of each.
set -uo pipefail
device=${1:-cuda} seconds=${2:-5}
OUT=${OUT:?the folder for results}
data=${DATA:-.gpu/train}
[ -f .gpu/enter ] && . .gpu/enter
mkdir -p "$OUT"

part() { # NAME LIMIT COMMAND...
    local name=$1 limit=$2 begin=$SECONDS status=0
    shift 2
    timeout --kill-after=10 "$limit" "${PYTHON:-python3}" "$@" >"$OUT/$name.txt" 2>&1 || status=$?
    echo "$name: exit $status after $((SECONDS - begin)) s" | tee -a "$OUT/summary.txt"
}

small=()
markers=gpu precision=bfloat16
if [ "$device" = cpu ]; then # a rehearsal: everything, as small as it gets
    precision=float32
    markers="not gpu and not slow and not docker"
    small=(--sides 128 --clients 1,2 --batches 1 --formats png)
fi
part tests 100 -m pytest -q -p no:cacheprovider -m "$markers" tests/gpu tests/runner/test_accelerator.py \
    tests/training/test_device_codec.py tests/training/test_device_batches.py
part train 110 -m virtual_codec train large-1 large-2 --data "$data" --out "$OUT/train" --start-from model_store/standard-3 \
    --device "$device" --codec device --precision "$precision" --batch "${BATCH:-96}" \
    --crop "${CROP:-192}" --pace time --time-limit 15s --quiet --json
part device 180 -m benchmarks.device --device "$device" --out "$OUT/device.md" --seconds "$seconds" ${small[@]+"${small[@]}"}
rm -rf "$OUT/train"/*/checkpoint.safetensors "$OUT/train"/*/best.safetensors "$OUT/train"/*/weights "$OUT/train/weights"
cat "$OUT/summary.txt"
