#!/usr/bin/env bash
# Profiles servers under one shape of load, one after another, and draws flame graphs of where their CPU time went.
#
#   scripts/profile.sh IMPL[,IMPL ...] [PAGE.html [FLAG ...]]   default: profile.html; FLAGs go to bench load
#
#   scripts/profile.sh tandem-epoll,bare-epoll page.html --depth 16     beside the floor
#   MODE=frame-echo scripts/profile.sh tandem-uring page.html --kind frame-echo
#
# Where perf(1) is installed and may be used, it takes the profile, with the kernel's functions; PERF=0 does without.
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

# perf(1) sees where the time goes inside the kernel, and its samples are not bound to the threads' timers.
with_perf() { command -v perf >/dev/null && perf record -q -e cpu-clock -o "$build/try" true >/dev/null 2>&1; }
by_perf=
if [[ ${PERF:-1} != 0 ]] && with_perf; then by_perf=1; fi

profiles=()
for impl in "${impls[@]}"; do
  file=$build/$impl.pprof
  flags=(--cpuprofile "$file")
  if [[ $by_perf ]]; then file=$build/$impl.perf flags=(); fi
  GOMAXPROCS=1 "$build/bench" serve --impl "$impl" --mode "${MODE:-echo}" "${flags[@]}" >"$build/listening" &
  server=$!
  until [[ -s $build/listening ]]; do
    kill -0 "$server" 2>/dev/null || refuse "$impl did not start"
    sleep 0.1
  done
  # listening on ADDRESS impl …
  read -r _ _ address _ <"$build/listening"
  if [[ $by_perf ]]; then # a sample for each 100 µs of CPU time
    perf record -q -g -e cpu-clock -c 100000 -p "$server" -o "$build/perf" >/dev/null 2>&1 &
    recorder=$!
  fi
  "$build/bench" load --addr "$address" --window 5s "$@" >"$build/sample.json"
  if [[ $by_perf ]]; then
    kill -INT "$recorder"
    wait "$recorder" || true
    perf script -i "$build/perf" -F period,ip,sym,dso 2>/dev/null >"$file"
  fi
  kill "$server"
  wait "$server"
  server=
  : >"$build/listening"
  profiles+=(--profile "$file")
done
"$build/bench" report "${profiles[@]}" --html "$page"
printf 'The flame graphs: %s\n' "$page"
