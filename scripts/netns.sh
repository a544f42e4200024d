#!/usr/bin/env bash
# Measures servers over a pair of virtual Ethernet devices, between two network namespaces of this machine: the path has
# packets, queues and a checksum, which loopback has not. It needs root, and leaves nothing behind.
#
#   scripts/netns.sh [RESULTS.json [FLAG ...]]      default: netns.json; FLAGs go to bench load, such as --conns 8
#
#   IMPLS='bare-epoll net' ROUNDS=5 scripts/netns.sh      the servers, and how often each is measured
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
refuse() { printf 'netns.sh: %s\n' "$1" >&2; exit 2; }

((EUID == 0)) || refuse 'only root can make network namespaces'
command -v ip >/dev/null || refuse 'there is no ip: apt-get install iproute2'
out=${1:-netns.json}
shift $(($# > 0 ? 1 : 0))
impls=${IMPLS:-bare-epoll bare-uring net tandem-epoll tandem-uring gnet}
rounds=${ROUNDS:-5}
here=tandem$$
address=10.203.0.1
build=$(mktemp -d)
server=
clean() {
  [[ -z $server ]] || kill "$server" 2>/dev/null || true
  ip netns del "$here-s" 2>/dev/null || true # its device goes with it, and so does the other one of the pair
  ip netns del "$here-l" 2>/dev/null || true
  rm -rf "$build"
}
trap clean EXIT
go -C "$root/bench" build -o "$build/bench" .

ip netns add "$here-s" 2>/dev/null || refuse 'this machine does not let root make a network namespace: a container?'
ip netns add "$here-l"
ip -n "$here-s" link add veth0 type veth peer name veth0 netns "$here-l" || refuse 'the kernel has no veth devices'
ip -n "$here-s" addr add "$address/24" dev veth0
ip -n "$here-l" addr add 10.203.0.2/24 dev veth0
for side in s l; do ip -n "$here-$side" link set veth0 up; ip -n "$here-$side" link set lo up; done

declare -A cpus=([s]='' [l]='')
confined=
if (($(nproc) >= 2)); then
  cpus=([s]='--cpus=0' [l]='--cpus=1')
  confined='"server_cpus":[0],"load_cpus":[1],'
fi
for ((round = 0; round < rounds; round++)); do
  for impl in $impls; do
    printf 'round %d of %d: %s\n' $((round + 1)) "$rounds" "$impl" >&2
    # shellcheck disable=SC2086 # no word at all if there is one CPU
    GOMAXPROCS=1 ip netns exec "$here-s" "$build/bench" serve --impl "$impl" --addr "$address:9000" ${cpus[s]} >"$build/listening" &
    server=$! # ip becomes the server
    until [[ -s $build/listening ]]; do kill -0 "$server" 2>/dev/null || refuse "$impl did not start"; sleep 0.1; done
    # shellcheck disable=SC2086
    ip netns exec "$here-l" "$build/bench" load --addr "$address:9000" --pid "$server" ${cpus[l]} "$@" |
      sed "s/\"impl\":\"\"/\"impl\":\"$impl\"/; s/\"round\":0/\"round\":$round/" >>"$build/samples"
    kill "$server"; wait "$server"; server=; : >"$build/listening"
  done
done
printf '{"format":1,"machine":{"kernel":"%s","cpus":%d},"setting":{%s"rounds":%d,"procs":1,"network":"veth"},"samples":[%s]}\n' \
  "$(uname -sr)" "$(nproc)" "$confined" "$rounds" "$(paste -sd, "$build/samples")" >"$out"
"$build/bench" report "$out"
