// Package portable is the driver of goroutines over package net, for systems that have neither epoll nor io_uring.
//
//	loop ── Poll ◄── queue of events ◄─┬─ a goroutine for each stream: waits, receives into the driver's memory
//	  │                 ▲ asleep: alarm├─ one for each listener: accepts
//	  │ Send: at once   │              ├─ one for each connect
//	  └─ or a goroutine ┘              └─ one for each send that has to wait
//
// It is of the completion kind: what a goroutine has done is an event, which the next Poll reports. A stream's goroutine
// has at most two pieces out that were not reported yet, so that a stream that stops reading soon leaves the rest to the
// kernel. Where the loop needs a goroutine that waits in package net, it interrupts it by a deadline in the past.
//
// The number in a Descriptor is a slot in a table of the package's, and no file descriptor.
//
// # What a system adds
//
// Package net alone has no call that tries and does not wait, and no options but a few. On Unix systems the driver makes
// such calls itself, on the descriptor that a syscall.RawConn lends: a write goes straight to the kernel, a goroutine
// that waits has no buffer, and a stream that is paused learns of a reset. On Linux all socket options are there, and all
// that the other drivers do to listen. Elsewhere, and with [Config.Plain], it makes do with package net:
//
//   - Every send waits for a goroutine.
//   - A stream that does not read has one piece in memory, and learns of the connection's end only behind that.
//   - Options are NoDelay, KeepAlive, KeepAliveOff, Linger, SendBuffer and ReceiveBuffer, and read back what was set.
//   - A backlog cannot be chosen, nor several sockets listen at one address.
//   - On Windows a send that is interrupted, as by Detach, may have sent bytes that are not counted.
//
// Go's timers end a sleep. On Linux they are late by up to a millisecond.
//
// # What it costs
//
// With 64 connections that echo 64 bytes, on one CPU under Linux 6.18, the CPU time for a message was 1.07 of a server's on
// package net, and 0.82 of it on epoll. An idle stream keeps a goroutine.
package portable
