#!/usr/bin/env bash
# Measures two commits in turn on this machine, and says what became slower: about a minute for each round, by default.
#
#   scripts/compare.sh OLD [NEW [FLAG ...]]     NEW is HEAD by default
#   ROUNDS=7 scripts/compare.sh main HEAD --kind echo,worker --conns 64
#
# ROUNDS is 5 by default, and at least 4. FLAGs are those of bench run: without any it measures small echoes, large ones,
# pipelined ones, frames, workers, streams and new connections on both backends. The exit status is that of bench compare:
# 1 if something became slower. The results stay in a directory, which the last line names.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
refuse() { printf 'compare.sh: %s\n' "$1" >&2; exit 2; }

(($# > 0)) || refuse 'which commit is the old one? scripts/compare.sh OLD [NEW [FLAG ...]]'
declare -A commits=([old]=$1 [new]=${2:-HEAD})
shift $(($# > 1 ? 2 : 1))
rounds=${ROUNDS:-5}
[[ $rounds =~ ^([4-9]|[1-9][0-9])$ ]] || refuse 'ROUNDS has to be a number from 4 to 99'
[[ $(uname) == Linux ]] || refuse 'it needs Linux: epoll and io_uring are measured'
command -v go >/dev/null || refuse 'there is no go in PATH'

results=$(mktemp -d "${TMPDIR:-/tmp}/tandem-compare-XXXXXX")
trees=$(mktemp -d)
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
  local side
  for side in old new; do
    git -C "$root" worktree remove --force "$trees/$side" 2>/dev/null || true
  done
  rm -rf "$trees"
}
trap cleanup EXIT

for side in old new; do
  commit=$(git -C "$root" rev-parse --verify --quiet "${commits[$side]}^{commit}") || refuse "there is no commit ${commits[$side]}"
  git -C "$root" worktree add --quiet --detach "$trees/$side" "$commit"
  go -C "$trees/$side/bench" build -o "$trees/bench-$side" .
done

# measure SIDE ROUND FLAG ... measures one round of a commit, in its tree, whose commit goes into the results. bench run ends
# with 1 if a server failed, which compare shows.
measure() {
  local side=$1 round=$2
  shift 2
  (cd "$trees/$side" && "$trees/bench-$side" run --rounds 1 --impl bare-epoll,tandem-epoll,tandem-uring --out "$results/$side$round.json" "$@" \
    >>"$results/$side.txt") || printf 'round %d of %s: bench run failed; see %s\n' "$round" "$side" "$results/$side.txt" >&2
}

sides=(old new)
for ((round = 1; round <= rounds; round++)); do
  printf 'round %d of %d\n' "$round" "$rounds" >&2
  for side in "${sides[@]}"; do
    if (($# > 0)); then
      measure "$side" "$round" "$@"
    else
      measure "$side" "$round" --kind echo,frame-echo,worker,stream,churn --conns 64 --size 64,16384 --seconds 1
    fi
  done
  sides=("${sides[1]}" "${sides[0]}") # whoever comes first may have the better part of the machine
done

# files SIDE lists a commit's results, with commas between them.
files() {
  local all=("$results/$1"*.json)
  local IFS=,
  printf '%s' "${all[*]}"
}
status=0
"$trees/bench-new" compare "$(files old)" "$(files new)" || status=$?
printf 'The results: %s\n' "$results"
exit "$status"
