// Package backend is the contract between a kernel and everything above it: what a Driver must report, and the Loop
// that runs one.
//
//	session.Stream, Listener, dials          semantics: order, limits, half close, errors, time
//	     │  Attach Receive Send Release  ▲
//	     ▼                               │  Received ReceiveEnded Sent Connected Accepted HungUp Released
//	backend.Socket ── backend.Loop ── backend.Driver
//	                   tasks, timers,      moves bytes, and nothing else
//	                   end of turn
//	                         │                  │
//	                    backend_epoll      backend_uring
//
// # What a Driver does
//
// A [Driver] serves the sockets of one [Loop]. It moves bytes: it accepts, waits for a connect, receives, sends, waits,
// and wakes. It decides nothing. Whatever would have to be decided twice, once for each kernel, is decided above it.
//
// A Driver also makes the system calls that need no loop: its [Sockets]. [Linux] implements them for every driver on
// Linux. Whoever is above a driver holds no file descriptor, but an opaque [Descriptor], and reads the time from a
// [Clock]; so a driver that has no kernel below it serves as well.
//
// A Driver is of the completion kind: it pushes bytes up as they come, out of memory that it lends. A readiness interface
// emulates this at no cost, by receiving into one hot buffer. The reverse costs a system call for each event.
//
// # Who owns the bytes
//
// Bytes given to [Events.Received] are lent until that call returns, unless the owner calls [Driver.Keep] during it.
// Bytes given to [Driver.Send] are lent to the driver until Send returned a count or [Events.Sent] was called. They are
// mapped or heap memory that the sender holds for so long; never a stack, because a Go stack moves. When a driver is closed
// with requests in flight, [Socket.Busy] reports whether they may be used again. backend_uring/LIFETIMES.md says so for each
// piece of memory, and with TANDEM_POISON=1 a use after its time is a wrong byte.
//
// # Order
//
// Bytes are reported in the order of the stream. ReceiveEnded follows the last of them. Sent follows the Send it
// answers, and there is at most one Send unanswered per socket. Events of different sockets have no order. All of them
// are called by Poll, on the loop's goroutine, never by Attach, Receive, Send or Release themselves: nothing is reported
// inside a callback. An owner may call the driver from inside any event, for any socket.
//
// # Errors
//
// A driver reports a [syscall.Errno] as the kernel gave it, or [io.EOF]. EINTR, EAGAIN, a full submission queue, an
// overflowed completion queue and an empty buffer ring are its own affair and never reported.
//
// # Ending
//
// [Driver.Release] ends every request on the socket. Received may still be called for bytes that the kernel had already
// handed over, Sent for bytes that it took, and Accepted for connections that it had accepted; no other event is reported
// until Released, which is the last. From then on nothing in the kernel refers to the descriptor, and its owner closes it.
// The driver closes only descriptors that it opened itself, and those that were accepted for a listener that its own Close
// has forgotten.
package backend
