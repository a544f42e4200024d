#!/usr/bin/env bash
# Attacks servers on epoll and io_uring in fourteen ways, and fails if a bound of SECURITY.md is broken.
#
#   scripts/hostile.sh [FLAG ...] [DURATION]      default 5m, for all attacks together
#
#   scripts/hostile.sh --quick                    less than 40 s; CI runs this
#   scripts/hostile.sh --json FILE 10m            all figures, too
#   scripts/hostile.sh --help                     all flags and attacks
#
# The exit status is 1 if a bound is broken, and 2 if nothing could be found out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || { echo 'hostile.sh: there is no go in PATH' >&2; exit 2; }
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
go build -o "$build/hostile" ./scripts/hostile # go run would turn each exit status into 1
"$build/hostile" "$@"
