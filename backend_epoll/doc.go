// Package epoll is the driver on epoll(7): non-blocking sockets, level-triggered readiness, and one hot buffer.
//
//	epoll_pwait ─► for each ready socket:  accept4 | recv into the hot buffer ─► Events | Sent(0, nil): send again
//	     ▲
//	     └── sleep: the epoll descriptor itself is parked in Go's poller, so that the processor is free for other
//	         goroutines; or, on a thread of its own, in epoll_pwait. A timerfd in the set ends it in time
//
// Parking is the cheaper sleep, and the one that leaves goroutines beside the loop in peace: with GOMAXPROCS=1 the CPU
// time per message was 1.02 of the floor's against 1.26 at one connection, 1.21 against 1.42 at 8, 1.11 against 1.20 at
// 64. A loop that is bound to a CPU sleeps in epoll_pwait all the same, because it is locked to its thread.
//
// Readiness is level-triggered, because a short read does not prove that a socket is empty: recv(2) ends early at
// urgent data, and on Unix sockets where the credentials of the writer change. Interest changes are gathered and told
// to the kernel before the next look, so that a pause that is taken back, or an interest in a socket that is closed in
// the same turn, costs no system call.
package epoll
