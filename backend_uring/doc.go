// Package uring is the driver on io_uring(7). The kernel's half is package ring below it.
//
//	uring     Accept, Receive, Send …                  Events
//	            │ submission entries                     ▲ completions
//	ring      SQ ══════════════► kernel ═══════════════► CQ
//	                               │ fills
//	buffers   taken from a buffer ring, lent to Received, handed back
//
// The driver accepts and receives with multishot requests, has one send in flight for each socket, and counts
// completions: a socket is released when as many have come as were asked for.
//
// How much of io_uring it uses depends on the kernel. The rungs of the ladder, from the best down:
//
//	defer    SINGLE_ISSUER and DEFER_TASKRUN: completions are posted when the loop asks for them. Linux 6.1
//	coop     COOP_TASKRUN: completions interrupt nobody. Linux 5.19
//	plain    no set-up flags. Linux 5.19
//	oneshot  plain, and each receive is a request of its own
//
// Receives are multishot from Linux 6.17 on, where the kernel can bound how much one of them takes. On older kernels
// each receive is a request of its own on every rung: an unbounded one would go on when its owner wants no more, and
// take all buffers.
//
// The user_data of every request holds the operation and the ID of its socket, which is slot and generation; never the
// descriptor. A completion that comes late therefore finds no socket, and still gives its buffer back or closes the
// connection that it accepted. Cancellations use that name too: what one socket costs does not depend on how many
// others there are.
//
// On the rung defer, a turn that has found at most two completions makes its first two sends by send(2) or sendmsg(2): one
// send costs more by way of the ring. Those of a busier turn, and those that find no room, go through the ring.
//
// A loop that is alone sleeps in io_uring_enter(2). While other goroutines write to its streams or post to it, it sleeps
// in Go's poller, by an eventfd that the ring signals, so that they need not wait for its thread; see park. While it sleeps
// often it yields every 4 ms.
//
// A timerfd that the ring polls ends a sleep on time. It stays armed while the loop's timeouts move on, where a timeout of
// each enter would set up a timer of its own.
//
// The loan of a buffer belongs to the delivery during which it was made. When a ring has failed, the memory that the
// kernel may still use is never freed.
package uring
