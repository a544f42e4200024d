#!/usr/bin/env bash
# Puts the deliberate bugs of scripts/mutants.json into a copy of the tree, one after another, and says of each which test
# caught it, or that it survived, or hung, or that its text is no longer there. All of them take about 20 minutes.
#
#   scripts/mutate.sh [--wide] [NAME ...]      default: all; --wide: what survives its own tests meets all others
#   scripts/mutate.sh --simulate 60s NAME ...  whether random programs find these without any other test, each in 60 s
#   scripts/mutate.sh --check                  only looks whether every bug can still be put in, and runs nothing
#
# The exit status is 1 if a bug was not caught, unless mutants.json says why nothing can catch it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || { echo 'mutate.sh: there is no go in PATH' >&2; exit 2; }
exec go run ./scripts/mutate "$@"
