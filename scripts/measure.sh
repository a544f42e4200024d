#!/usr/bin/env bash
# Measures the CPU time of a proxy by Relay, and of one message to many streams, beside what package net needs.
#
#   scripts/measure.sh relay [FLAG ...]      1 GiB each way, checked
#   scripts/measure.sh fanout [FLAG ...]     500 subscribers
#   scripts/measure.sh relay --help          all flags
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || { echo 'measure.sh: there is no go in PATH' >&2; exit 2; }
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
go build -o "$build/measure" ./scripts/measure
"$build/measure" "$@"
