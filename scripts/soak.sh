#!/usr/bin/env bash
# Mixes everything at random on every backend, with the race detector, and fails if a byte is wrong or anything leaks.
#
#   scripts/soak.sh [DURATION]      default 10m
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-10m}
TANDEM_SOAK=$duration exec go test -race -run '^TestSoak$' -v -timeout 0 .
