//go:build linux

package main

import (
	"time"

	"github.com/tandem-io/tandem"
)

// limits are those of a server.
type limits struct {
	Name           string
	Stream         tandem.StreamOptions
	MemoryLimit    int64
	MaxConns       int
	MessageTimeout time.Duration
	MaxPayload     int           // of a message
	Content        int           // of an HTTP request
	Patience       time.Duration // the longest of the times after which a silent peer is gone; 0: it may stay
}

const (
	kib = 1 << 10
	mib = 1 << 20

	// piece is what may come on top of ReadBufferLimit, and what a stream may read that holds nothing.
	piece = 256 * kib

	// largestAnswer is what the services answer to one request at most.
	largestAnswer = 256 * kib
)

// recommended are the limits of SECURITY.md, but for the times: they are short, so that they pass during an attack.
func recommended(patience time.Duration) limits {
	return limits{
		Name: "recommended", MemoryLimit: 64 * mib, MaxConns: 1000, MessageTimeout: patience, MaxPayload: 16 * mib,
		Content: mib, Patience: patience,
		Stream: tandem.StreamOptions{
			WriteBufferLimit: mib, IdleTimeout: patience, HalfCloseTimeout: patience, CloseTimeout: patience,
		},
	}
}

// defaults are the limits of a program that sets none.
func defaults() limits { return limits{Name: "defaults", MaxPayload: 16 * mib, Content: 16 * mib} }

// holds is how many bytes one peer may make a server hold.
type holds struct {
	unread int // without MemoryLimit
	queued int
}

// object is what a stream costs without its bytes: itself, and what its handler keeps.
const object = 16 * kib

// bystanding is what a peer holds that sends little and reads its answers.
func bystanding(*limits) holds { return holds{queued: 4 * kib} }

// sending is what a peer holds that has sent so many bytes of a message which is not whole.
func sending(bytes int) func(*limits) holds {
	return func(*limits) holds { return holds{unread: 2 * bytes} } // memory grows to twice the bytes that have come
}

// blocking is what a peer holds whose answers are not read: reading stops above HighWater.
func blocking(l *limits) holds {
	o, err := l.Stream.Complete()
	if err != nil {
		panic(err)
	}
	return holds{unread: piece, queued: o.HighWater + largestAnswer}
}

// memory is how many bytes n peers may make a server hold, beyond what it has at rest. Garbage collection lets the heap
// grow to twice of what is in use.
func (l limits) memory(n int, h holds) int64 {
	unread := int64(n) * int64(h.unread)
	if l.MemoryLimit > 0 {
		unread = min(unread, 2*l.MemoryLimit+int64(n)*piece)
	}
	return 2 * (unread + int64(n)*int64(h.queued+object))
}

// reserve is what loops keep for the next use: pools of 8 MiB, and receive buffers, of io_uring up to 16 MiB.
func reserve(b tandem.Backend, loops int) int64 {
	one := int64(8 * mib)
	if b == tandem.Uring {
		one += 16 * mib
	}
	return int64(loops) * one
}
