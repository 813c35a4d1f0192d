#!/usr/bin/env bash
# Training call on a machine with a GPU: large-1 and large-2 side by side until the time is over. Run in the checkout.
#
#   OUT=out benchmarks/gpu/train.sh SECONDS [DEVICE, default cuda]
#
# SECONDS is the time of training; the packages, the crops and the first compilation take about half a minute before it,
# and the last validation some seconds after it. OUT gets weights/ (five files, each under 16 MiB, for `vcodec export` and
# `--start-from`), and of each run its log.csv, output.txt and last sheet of samples.
set -uo pipefail
seconds=${1:?the seconds of training} device=${2:-cuda}
OUT=${OUT:?the folder for results}
data=${DATA:-.gpu/train} start=${START:-model_store/standard-3}
[ -f .gpu/enter ] && . .gpu/enter
precision=bfloat16
[ "$device" = cpu ] && precision=float32 # few processors have bfloat16, and the others take many times as long with it
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$OUT"

status=0
"${PYTHON:-python3}" -m virtual_codec train large-1 large-2 --data "$data" --out "$work" --start-from "$start" \
    --device "$device" --codec device --precision "$precision" --batch "${BATCH:-96}" \
    --crop "${CROP:-192}" --pace time --time-limit "${seconds}s" \
    --quiet --json >"$OUT/reports.jsonl" 2>"$OUT/errors.txt" || status=$?
cp -r "$work/weights" "$OUT/" 2>/dev/null
for run in large-1 large-2; do
    mkdir -p "$OUT/$run"
    cp "$work/$run/log.csv" "$work/$run/output.txt" "$OUT/$run/" 2>/dev/null
    sheet=$(ls "$work/$run/samples" 2>/dev/null | tail -1)
    [ -n "$sheet" ] && cp "$work/$run/samples/$sheet" "$OUT/$run/samples.png"
done
cat "$OUT/reports.jsonl" "$OUT/errors.txt"
exit "$status"
