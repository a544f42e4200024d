// Package integration has real programs talk to the library, on each backend: over its net.Conns, those of ListenConn and
// DialConn, net/http, HTTP/2, gRPC, Redis, NATS, PostgreSQL, nginx, HAProxy, OpenSSL, curl, wrk and h2load; through relays
// of streams, socat and iperf3; and with small servers whose messages are frames, redis-cli, redis-benchmark, the clients of
// Mosquitto, nats.go and git. It is a module of its own, so that what it needs reaches no user. It has tests only:
//
//	go -C scripts/integration test ./...
//
// A test is skipped, loudly, where the program that it starts is missing; with CI=true or TANDEM_REQUIRE_TOOLS=1 it fails.
// Programs run as children of the test, on addresses of 127.0.0.0/8 that nobody else uses and in folders of their own,
// and end with it. PostgreSQL, which refuses to run as root, runs as nobody then.
package integration
