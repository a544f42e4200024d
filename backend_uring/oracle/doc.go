// Package oracle compares package uring with giouring, a port of liburing to Go that was written independently: every
// constant that both have, the size and offsets of every structure, the bytes of every submission entry, and what the
// kernel answers to the same bytes. There is nothing in it but tests.
//
// It is a module of its own, and its tests have a build tag, because a program that imports giouring does not link with
// Go 1.23 or newer (it reaches into package syscall) unless the linker is told to allow it. So no user of this library
// ever meets it. To run it:
//
//	go -C backend_uring/oracle test -tags giouring -ldflags=-checklinkname=0 ./...
package oracle
