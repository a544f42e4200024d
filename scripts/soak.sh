#!/usr/bin/env bash
# Mixes everything at random, with the race detector, while faults happen around it, and fails if a byte is wrong, a promise
# is not kept, something does not come, or anything leaks. scripts/soak/doc.go says how.
#
#   scripts/soak.sh [--backend epoll|uring|uring-tiny] [--seed N] [--dir DIR] [DURATION]
#
# Default: all backends, one after another, 10m each; another seed each time, which is printed. A page of figures for
# each, soak-BACKEND.md, is written every minute, at the end, and on SIGINT, into DIR, by default a new one under /tmp.
# TANDEM_POISON=1 and GOMAXPROCS are passed on.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }

backends=(epoll uring uring-tiny)
seed=0
dir=
duration=10m
while (($# > 0)); do
  case $1 in
    --backend) backends=("${2:?}"); shift ;;
    --seed) seed=${2:?}; shift ;;
    --dir) dir=${2:?}; shift ;;
    -*) usage ;;
    *) duration=$1 ;;
  esac
  shift
done
dir=${dir:-$(mktemp -d /tmp/soak.XXXXXX)}
mkdir -p "$dir"
CGO_ENABLED=1 go -C "$root" build -race -o "$dir/soak" ./scripts/soak

status=0
for backend in "${backends[@]}"; do
  page=$dir/soak-$backend.md
  "$dir/soak" -backend "$backend" -seed "$seed" -duration "$duration" -page "$page" || status=$?
  printf '%s: %s\n' "$page" "$(head -n 1 "$page")"
  ((status < 128)) || break # interrupted
done
exit "$status"
