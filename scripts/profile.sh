#!/usr/bin/env bash
# Profiles servers under one shape of load, one after another, and draws flame graphs of where their CPU time went.
#
#   scripts/profile.sh IMPL[,IMPL ...] [PAGE.html [FLAG ...]]   default: profile.html; FLAGs go to bench load
#
#   scripts/profile.sh tandem-epoll,bare-epoll page.html --depth 16     beside the floor
#   MODE=frame-echo scripts/profile.sh tandem-uring page.html --kind frame-echo
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
refuse() { printf 'profile.sh: %s\n' "$1" >&2; exit 2; }

(($# > 0)) || refuse 'name the implementation; bench serve --help lists them'
[[ $(uname) == Linux ]] || refuse 'it needs Linux'
IFS=, read -r -a impls <<<"$1"
page=${2:-profile.html}
shift $(($# > 1 ? 2 : 1))

build=$(mktemp -d)
server=
clean() {
  [[ -z $server ]] || kill "$server" 2>/dev/null || true
  rm -rf "$build"
}
trap clean EXIT
go -C "$root/bench" build -o "$build/bench" .

profiles=()
for impl in "${impls[@]}"; do
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
  : >"$build/listening"
  profiles+=(--profile "$build/$impl.pprof")
done
"$build/bench" report "${profiles[@]}" --html "$page"
printf 'The flame graphs: %s\n' "$page"
