#!/usr/bin/env bash
# Runs the end-to-end tests on every engine there is from Debian's packages, and prints one table: what became of each option of a
# build on each engine, image store and builder. It is honoured or refused; what is neither FAILED, and then this fails too.
#
#   tests/matrix.sh               20.10, 26.1 and 28.5, the latter two with both stores, and Podman: some 90 minutes on 2 cores
#   tests/matrix.sh ENGINE...     these alone: 20.10, 26.1, 26.1+containerd, 28.5, 28.5+containerd, podman
set -euo pipefail
cd "$(dirname "$0")/.."

all=(20.10 26.1 26.1+containerd 28.5 28.5+containerd podman)
if (($# == 0)); then set -- "${all[@]}"; fi

arguments=(--table)
for engine in "$@"; do
  if [[ " ${all[*]} " != *" $engine "* ]]; then
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0" >&2
    exit 2
  fi
  arguments+=(--engine "$engine")
done
exec tests/run.sh "${arguments[@]}"
