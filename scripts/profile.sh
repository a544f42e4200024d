#!/usr/bin/env bash
# Profiles one server under one shape of load, and draws a flame graph of where its CPU time went.
#
#   scripts/profile.sh IMPL [PAGE.html [FLAG ...]]      default: IMPL.html; FLAGs go to bench load, such as --depth 16
#
#   MODE=frame-echo scripts/profile.sh tandem-uring page.html --kind frame-echo
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
refuse() { printf 'profile.sh: %s\n' "$1" >&2; exit 2; }

(($# > 0)) || refuse 'name the implementation; bench serve --help lists them'
[[ $(uname) == Linux ]] || refuse 'it needs Linux'
impl=$1
page=${2:-$impl.html}
shift $(($# > 1 ? 2 : 1))

build=$(mktemp -d)
server=
clean() {
  [[ -z $server ]] || kill "$server" 2>/dev/null || true
  rm -rf "$build"
}
trap clean EXIT
go -C "$root/bench" build -o "$build/bench" .

GOMAXPROCS=1 "$build/bench" serve --impl "$impl" --mode "${MODE:-echo}" --cpuprofile "$build/$impl.pprof" >"$build/listening" &
server=$!
until [[ -s $build/listening ]]; do
  kill -0 "$server" 2>/dev/null || refuse "$impl did not start"
  sleep 0.1
done
# listening on ADDRESS impl …
read -r _ _ address _ <"$build/listening"
"$build/bench" load --addr "$address" --window 5s "$@" >"$build/sample.json"
kill "$server"
wait "$server"
server=
"$build/bench" report --profile "$build/$impl.pprof" --html "$page"
printf 'The flame graph: %s\n' "$page"
