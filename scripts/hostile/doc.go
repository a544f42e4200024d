// Command hostile attacks servers of this library in fourteen ways, on epoll and on io_uring, and checks the bounds that
// SECURITY.md promises. scripts/hostile.sh runs it.
//
//	hostile ── starts ──► server      a Transport with a listener for each service: server.go, services.go
//	   │    └─ starts ──► attackers   one process for each attack, killed at its end: attacker.go, attacks_*.go
//	   └── well-behaved streams: an echo at a steady, low rate: steady.go
//
// Each attack goes through these phases; trial.go:
//
//	calm      the well-behaved streams alone              their latency is what the attack is compared with
//	attack    the attackers at work                       latency, peak of resident memory
//	silence   connected attackers, and nobody sends       turns of the loops
//	limits    the same, until the server's times are up   the server gets rid of them by itself
//	after     the attackers are killed                    streams, descriptors and memory are what they were
//
// bounds.go has what is checked. All processes end with this one.
package main
