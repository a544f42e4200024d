#!/usr/bin/env bash
# Runs random programs on a simulated kernel, and compares what happens with a model of the contract. A program that
# breaks a rule is made smaller and printed, with the seed that makes it again.
#
#   scripts/simulate.sh [--for DURATION]     fresh programs, by default for 30s
#   scripts/simulate.sh SEED                 the program of a seed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || { echo 'simulate.sh: there is no go in PATH' >&2; exit 2; }
package=./backend/simulated/modeltest
run() { go test "$package" -count 1 -run '^TestRandomPrograms$' -timeout 0 -v -rapid.nofailfile "$@"; }
case ${1---for} in
  --for)
    export TANDEM_SIMULATE=${2-30s}
    run | { grep --line-buffered -v '\[rapid\] OK' || true; }
    ;;
  *[!0-9]* | '')
    echo 'usage: scripts/simulate.sh [--for DURATION | SEED]' >&2
    exit 2
    ;;
  *)
    run -rapid.seed "$1" -rapid.checks 1
    ;;
esac
