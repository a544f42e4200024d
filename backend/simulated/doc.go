// Package simulated is a kernel that is a program: a seeded generator decides what it does, and time passes only when
// everybody sleeps. With it a Transport runs without a socket, and whatever happens can happen again.
//
//	the library                                   the test
//	  driver (readiness or completions)             Peer, PeerListener
//	     │ receive send accept connect poll            │ Send Finish Reset Stall …
//	     ▼                                             ▼
//	  descriptors ──► end ══ out ── transfer, later ──► in ══ end
//	                       a connection of a Kernel
//
// A [Kernel] has descriptors, listeners, connections and a clock. Its drivers are of both kinds: one asks which sockets
// are ready and then calls, as with epoll; the other makes requests that complete later, as with io_uring. The other
// side of a connection is a [Peer], which the test moves, or another Transport on the same Kernel.
//
// # What it may do
//
// Whatever a real kernel may, and no more: [Faults] says how likely each kind is. Reads and writes are short, sends find
// no room, sleeps end early, completions come late and in another order, a cancellation comes before what it cancels or
// finds nothing although the request lives, a completion comes after its descriptor's number has a new holder, buffers
// run out, the completion queue overflows and ends requests that would have gone on, descriptors and memory are short,
// a connect is over when it has begun, connections are reset at any point. With [Kernel.AcceptError] and [Kernel.Forbid] a
// test has accepts and options fail. Bytes of one direction of a connection stay in order, always.
//
// Memory that is lent for the time of a call is overwritten when the call has returned. Bytes given to a send are read
// when the kernel takes them, which may be long after the call.
//
// # Time and order
//
// One goroutine at a time runs, and a Kernel made again with the same Config and driven by the same calls does the same,
// to the byte: [Kernel.Digest] is equal. With drivers that the caller polls (Transports that are CallerDriven) a sleep
// moves the clock to the next thing that happens. Drivers of loops that have goroutines of their own are granted one
// turn after another by [Kernel.Step].
//
// Polling waits for no goroutine: where others take part, such as the callers of net.Conns, or the one by which a Conn of
// Detach sends what was queued, timeouts pass before they have run. Step loops in a bubble of testing/synctest then.
package simulated
