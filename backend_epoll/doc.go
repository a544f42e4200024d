// Package epoll is the driver on epoll(7): non-blocking sockets, level-triggered readiness, and one receive buffer.
//
//	Poll ─► epoll_pwait ─► for each ready socket:  recv into the buffer ─► Received
//	             ▲                                 accept4              ─► Accepted
//	             │                                 writable             ─► Sent(0, nil): the owner sends again
//	             │
//	             └── sleep: the epoll descriptor itself is parked in Go's poller, so that other goroutines can use the
//	                 processor; or the loop blocks in epoll_pwait. A timerfd in the set ends it on time
//
// Parking disturbs goroutines beside the loop least, and where Go has several processors it costs no more: idle ones
// search for work before they sleep. With GOMAXPROCS=1 it costs 3 to 4 µs more for each sleep, so a loop that sleeps often
// and is alone there blocks; company in package backend says when. A loop that is bound to a CPU always blocks, because it
// is locked to its thread.
//
// Readiness is level-triggered, because a short read does not prove that a socket is empty: recv(2) returns early at
// urgent data, and on Unix sockets where the credentials of the writer change. The driver tells the kernel about
// changed interests just before it asks for events, so a pause that is taken back, or an interest in a socket that is
// closed in the same turn, costs no system call.
package epoll
