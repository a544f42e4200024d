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
	unread  int // at most, without MemoryLimit
	queued  int
	objects int // all else: the stream, what the handler keeps
}

// perPeer is holds for a peer whose largest message is so large; 0: the service has no messages.
func (l limits) perPeer(message int) holds {
	o, err := l.Stream.Complete()
	if err != nil {
		panic(err)
	}
	unread := o.ReadBufferLimit
	if message > unread {
		unread = 2 * message // memory for a message grows to twice the bytes that have come
	}
	return holds{unread: unread + piece, queued: o.HighWater + largestAnswer + piece, objects: 16 * kib}
}

// memory is how many bytes n peers may make a server hold, beyond what it has at rest. Garbage collection lets the heap
// grow to twice of what is in use.
func (l limits) memory(n int, h holds) int64 {
	unread := int64(n) * int64(h.unread)
	if l.MemoryLimit > 0 {
		unread = min(unread, 2*l.MemoryLimit+int64(n)*piece)
	}
	return 2 * (unread + int64(n)*int64(h.queued+h.objects))
}

// reserve is what loops keep for the next use: pools of 8 MiB, and receive buffers, of io_uring up to 16 MiB.
func reserve(b tandem.Backend, loops int) int64 {
	one := int64(8 * mib)
	if b == tandem.Uring {
		one += 16 * mib
	}
	return int64(loops) * one
}
