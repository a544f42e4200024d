#!/usr/bin/env bash
# Runs all that CI runs, and stops at the first step that fails. It needs Go, a C compiler for the race detector, and,
# the first time, a module proxy.
#
#   TEST_FLAGS=-v scripts/check.sh     names every test and counts them
#   CI=true scripts/check.sh           fails where io_uring cannot run or a program is missing, instead of skipping tests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lint=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
targets="linux/arm64 darwin/arm64 windows/amd64 freebsd/amd64"
modules=$(find . -name go.mod -not -path '*/testdata/*' -printf '%h\n' | sort)
logs=$(mktemp -d)

export CGO_ENABLED=0 # the race detector alone needs cgo
if [[ ${CI:-} == true ]]; then
  export TANDEM_REQUIRE_URING=1 TANDEM_REQUIRE_TOOLS=1
fi

step='start'
step() {
  step=$1
  printf '\n=== %s (%d s)\n' "$step" "$SECONDS"
}

finish() {
  local status=$?
  rm -rf "$logs"
  if ((status != 0)); then
    printf '\nFAILED: %s (exit status %d, after %d s)\n' "$step" "$status" "$SECONDS" >&2
  fi
}
trap finish EXIT

# each runs a command in every module.
each() {
  local m
  for m in $modules; do
    printf '%s: %s\n' "$m" "$*"
    (cd "$m" && "$@") || return
  done
}

# tests runs go test with what follows, and with -v among TEST_FLAGS counts the tests.
tests() {
  local status=0 log
  log=$(mktemp -p "$logs")
  # shellcheck disable=SC2086 # flags are words
  go test -count=1 ${TEST_FLAGS:-} "$@" 2>&1 | tee "$log" | { grep --line-buffered -v '^=== ' || true; } || status=$?
  if grep -q '^ *--- ' "$log"; then
    printf 'tests and subtests: %d passed, %d failed, %d skipped\n' \
      "$(count PASS "$log")" "$(count FAIL "$log")" "$(count SKIP "$log")"
  fi
  if ((status != 0)); then
    grep '^ *--- FAIL' "$log" || true
  fi
  return "$status"
}

count() { grep -c "^ *--- $1" "$2" || true; }

# beside runs the tests of all packages but those whose names match the second argument, and at the same time those of the
# root that match the first, which may be several patterns, each in a process of its own: the contract's rules mostly wait.
# Patterns are as those of -run and -skip; what follows are flags of all.
beside() {
  local apart=$1 rest=$2 status=0 pattern i pids=()
  shift 2
  for pattern in $apart; do
    tests "$@" -run "$pattern" . >"$logs/apart${#pids[@]}" 2>&1 &
    pids+=($!)
  done
  tests "$@" -skip "$rest" ./... || status=$?
  for i in "${!pids[@]}"; do
    wait "${pids[i]}" || status=$?
    cat "$logs/apart$i"
  done
  return "$status"
}

step 'gofmt'
unformatted=$(gofmt -l .)
if [[ -n $unformatted ]]; then
  printf 'gofmt would change:\n%s\n' "$unformatted"
  exit 1
fi

if command -v shellcheck >/dev/null; then
  step 'shellcheck'
  shellcheck .ci/run scripts/*.sh
fi

step 'go mod tidy'
each go mod tidy -diff

step 'build without cgo'
each go build -o /dev/null ./...

step 'go vet'
each go vet ./...

all=$modules
modules=${modules/.\/scripts\/integration/} # which runs on Linux alone, and has too much to build for each
for target in $targets; do
  step "build and vet for $target"
  export GOOS=${target%/*} GOARCH=${target#*/}
  each go build -o /dev/null ./...
  each go vet ./...
  unset GOOS GOARCH
done
modules=$all
step 'build and vet for linux/386' # but not bench, which depends on modules that do not compile there
GOARCH=386 go build ./...
GOARCH=386 go vet ./...

step 'golangci-lint'
each go run "$lint" run --config "$PWD/.golangci.yml" ./...

step 'deliberate bugs can be put in'
bash scripts/mutate.sh --check

step 'go test'
contract='^TestConformance$/^'
uring='uring(-tiny|-dialled|-unix|-to-.*|-beside-.*)?$'
beside "$contract$uring ${contract}portable" "$contract($uring|portable)" -timeout 20m

step 'go test with the race detector, shuffled'
# Of the contract's setups those of each backend, tiny rings and TLS; the others have run without the detector.
# Memory whose time is over is poisoned, so that a use of it is a wrong byte.
TANDEM_POISON=1 CGO_ENABLED=1 beside '^TestConformance$/^(uring(-tiny)?|epoll-tls)$' '^TestConformance$/^(uring|epoll-|portable)' -timeout 25m -race -shuffle=on

step 'go test in bench'
(cd bench && tests -p 1 ./...) # some measure time: one package at a time

step 'go test of the figures for Prometheus'
(cd session/tandemprom && tests ./...)

step 'real programs on the net.Conn view'
(cd scripts/integration && tests ./...)

step 'random traffic on an emulated io_uring'
TANDEM_SEEDS=300 tests -run TestWorkload ./backend_uring

step 'random programs on a simulated kernel'
bash scripts/simulate.sh --for 30s

step 'hostile peers'
bash scripts/hostile.sh --quick

step 'govulncheck'
vuln=golang.org/x/vuln/cmd/govulncheck@v1.9.0
GOBIN=$logs go install "$vuln" # go run would turn each exit status into 1
if ! "$logs/govulncheck" ./... >"$logs/vuln" 2>&1; then
  if ! grep -q 'fetching vulnerabilities: Get' "$logs/vuln"; then
    cat "$logs/vuln"
    exit 1
  fi
  printf 'NOT TESTED: the database of vulnerabilities cannot be reached\n'
fi
cat "$logs/vuln"

step 'io_uring against giouring'
# giouring reaches into package syscall, which the linker of Go 1.23 and newer refuses unless it is told otherwise.
tests -tags giouring -ldflags=-checklinkname=0 ./backend_uring/...

step 'the README: measure'
go -C bench run . run --quick

printf '\nAll is well (%d s).\n' "$SECONDS"
