#!/usr/bin/env bash
# Measures the full matrix, about 25 minutes, and leaves results, tables and the report in a directory.
#
#   scripts/bench.sh [DIR [FLAG ...]]      default: a new one in the directory for temporary files
#
# FLAGs are added to both calls of bench run, such as --impl bare-epoll,tandem-epoll. The exit status is 1 if something
# failed; what was measured is reported nevertheless.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
refuse() { printf 'bench.sh: %s\n' "$1" >&2; exit 2; }

[[ $(uname) == Linux ]] || refuse 'it needs Linux: epoll and io_uring are measured'
command -v go >/dev/null || refuse 'there is no go in PATH'
dir=${1:-$(mktemp -d "${TMPDIR:-/tmp}/tandem-bench-XXXXXX")}
shift $(($# > 0 ? 1 : 0))
[[ $dir != -* ]] || refuse "the first argument is the directory, and not a flag such as $dir"
mkdir -p "$dir"

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
go -C "$root/bench" build -o "$build/bench" .

status=0
"$build/bench" run --full --out "$dir/results.json" "$@" >"$dir/table.txt" || status=1
[[ -s $dir/results.json ]] || { cat "$dir/table.txt"; exit 1; }
# The open loop, from hardly anything to more than any server can answer.
"$build/bench" run --kind echo --conns 64 --size 64 --seconds 1 --rounds 3 --out "$dir/rates.json" \
  --rate 5000,10000,40000,60000,80000,100000,130000,160000,200000 "$@" >"$dir/rates.txt" || status=1

files=("$dir/results.json")
[[ ! -s $dir/rates.json ]] || files+=("$dir/rates.json")
"$build/bench" report --html "$dir/report.html" --text "$dir/benchstat.txt" --markdown "$dir/tables.md" \
  --svg "$dir/svg" "${files[@]}" >/dev/null
cat "$dir/table.txt"
printf '\nThe report: %s/report.html\n' "$dir"
exit "$status"
