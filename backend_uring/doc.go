// Package uring is the driver on io_uring(7), and the ring below it.
//
//	driver      Accept, Receive, Send …              Events
//	              │ submission entries                 ▲ completions
//	ring        SQ ══════════► kernel ═══════════════► CQ
//	                             │ fills
//	bufring     receive buffers, handed to the kernel, lent to Received, handed back
//
// The ring is the project's own, on golang.org/x/sys/unix: setup, the queues, the entries, and rings of provided
// buffers. The driver on it accepts and receives with multishot requests, has one send in flight for each socket, and
// counts completions: a socket is released when as many have come as were asked for.
//
// How much of io_uring is used depends on the kernel. The rungs of the ladder, from the best down:
//
//	defer    SINGLE_ISSUER and DEFER_TASKRUN: completions are made when the loop asks for them. Linux 6.1
//	coop     COOP_TASKRUN: completions interrupt nobody. Linux 5.19
//	plain    no set-up flags. Linux 5.19
//	oneshot  plain, and receives that have to be asked for each time
//
// Receives are multishot from Linux 6.17 on, where the kernel can bound how much one of them takes. Before, each is
// asked for by itself on every rung: an unbounded one goes on while its owner wants no more, and takes all buffers.
//
// Every request carries in its user_data the operation and the ID of its socket, slot and generation; never the
// descriptor. So a completion that comes late finds nobody, and still gives its buffer back or closes what it accepted.
// It is cancelled by that name, too: what one socket costs does not depend on how many others there are.
//
// The loan of a buffer belongs to the delivery during which it was made. What the kernel may still use when a ring has
// failed stays for good.
package uring
