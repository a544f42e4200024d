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
//	coop     COOP_TASKRUN: completions interrupt nobody. Linux 6.0 (for multishot receives)
//	plain    no set-up flags. Linux 6.0
//	oneshot  receives that have to be asked for each time. Linux 5.19
//
// Every request carries in its user_data the operation and the ID of its socket, slot and generation; never the
// descriptor. So a completion that comes late finds nobody, and still gives its buffer back or closes what it accepted.
package uring
