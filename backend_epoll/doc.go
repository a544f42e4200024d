// Package epoll is the driver on epoll(7): non-blocking sockets, level-triggered readiness, and one receive buffer.
//
//	Poll ─► epoll_pwait ─► for each ready socket:  recv into the buffer ─► Received
//	             ▲                                 accept4              ─► Accepted
//	             │                                 writable             ─► Sent(0, nil): the owner sends again
//	             │
//	             └── sleep: the epoll descriptor itself is parked in Go's poller, so that other goroutines can use the
//	                 processor; or the loop's own thread blocks in epoll_pwait. A timerfd in the set ends it on time
//
// Parking is the cheaper sleep, and disturbs goroutines beside the loop less: with GOMAXPROCS=1 the CPU time per
// message was 1.02 of a bare epoll loop's against 1.26 at one connection, 1.21 against 1.42 at 8, and 1.11 against 1.20
// at 64. A loop that is bound to a CPU sleeps in epoll_pwait nevertheless, because it is locked to its thread.
//
// Readiness is level-triggered, because a short read does not prove that a socket is empty: recv(2) returns early at
// urgent data, and on Unix sockets where the credentials of the writer change. The driver tells the kernel about
// changed interests just before it asks for events, so a pause that is taken back, or an interest in a socket that is
// closed in the same turn, costs no system call.
package epoll
