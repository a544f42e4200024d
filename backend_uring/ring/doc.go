// Package ring is the kernel's half of io_uring(7) on golang.org/x/sys/unix: setup, the queues, their entries, and
// rings of provided buffers. It knows no sockets and makes no decisions; package uring, the driver, does.
//
//	Ring      SQE, Prep…  ─► SQ ══════════► kernel ══════════► CQ ─► PeekCQE, Advance
//	                          Submit, Enter, Wait  │ fills
//	BufRing   Add, Publish ──► buffers ════════════╯
//	Waker     posts a completion to a ring, from any goroutine
//
// A ring may have another kernel than the machine's, for tests: [NewOn], and package ringtest.
//
// Nothing in it allocates once a ring is set up. With the build tag giouring its tests compare it with giouring, a
// Go port of liburing that was written independently: every constant that both have, the size and the offsets of every
// structure, the bytes of every submission entry, and what the kernel answers to them. A program that imports giouring
// links only if the linker is told to allow it, because giouring reaches into package syscall:
//
//	go test -tags giouring -ldflags=-checklinkname=0 ./backend_uring/ring
package ring
