package session

import (
	"errors"
	"fmt"
	"time"
)

// StreamOptions are per-stream limits and behaviour. They are set for a Transport, and again for a listener or a dial,
// where a zero field means the Transport's.
type StreamOptions struct {
	// ReadBufferLimit is how many unread bytes a stream holds before it stops reading from the kernel; it goes on
	// below half of that. In bytes. Default 1 MiB, at least 1. Bytes that the kernel has already handed over come on top,
	// at most 256 KiB. The limit must exceed the largest message that a handler waits for; otherwise the stream is stuck,
	// which is logged after a second. With Frames the stream makes room for a message by itself.
	ReadBufferLimit int

	// WriteBufferLimit is how many bytes may be queued for sending. In bytes. Default 16 MiB, at least 1.
	WriteBufferLimit int

	// HighWater is the number of queued bytes above which Writable is false and the stream does not read.
	// In bytes. Default 128 KiB, at most WriteBufferLimit.
	HighWater int

	// LowWater is the number of queued bytes below which the stream is writable again. In bytes. Default half of
	// HighWater, at most HighWater.
	LowWater int

	// ReadWhileBlocked lets a stream read while its queue is above HighWater. Default false.
	ReadWhileBlocked bool

	// AllowHalfClose keeps a stream open for writing after its peer has finished sending, until Close. Default false.
	AllowHalfClose bool

	// CloseTimeout bounds how long a closing stream waits while its peer takes none of the queued bytes; then the
	// connection is reset. Every byte that the peer takes starts the time anew. Default 5 s. Negative: no limit, and
	// then two streams that close with bytes queued for each other wait for ever.
	CloseTimeout time.Duration

	// IdleTimeout ends a stream on which no byte came or went for so long. Default 0: none.
	IdleTimeout time.Duration

	// ReadIdleTimeout ends a stream on which no byte came for so long, whatever was sent. Default 0: none.
	ReadIdleTimeout time.Duration

	// HalfCloseTimeout ends a half-closed stream on which no byte came or went for so long. A stream is half closed when
	// its peer has finished sending, with AllowHalfClose, or after CloseWrite. Default 0: none.
	HalfCloseTimeout time.Duration

	// TLSHandshakeTimeout bounds the TLS handshake of a stream, from its connection on, waiting for its turn included.
	// Default 10 s. Negative: no limit.
	TLSHandshakeTimeout time.Duration

	// ReceiveFiles is how many files may wait that the peer has sent over a Unix socket, until TakeFiles takes them. While
	// files wait with bytes that OnData was not called for, the stream reads nothing more; so what counts is how many files
	// come with one message, and those that a handler leaves. If more come the stream is reset, with ErrTooManyFiles. On
	// epoll and io_uring; with another network, with TLS and for Conns it is an error, except as a Transport's default, which
	// is for streams that can. SO_PASSCRED and the like must be off. Default 0: none are received, and the kernel closes
	// what comes, as it does with a negative number, for a listener or a dial.
	ReceiveFiles int

	// TurnBudget is how many bytes of one stream are delivered, or sent, in one turn of the loop before other streams
	// have their turn. In bytes. Default 256 KiB, at least 1. In addition a turn delivers at most 16 reads of a stream,
	// and gives its callbacks for data about a millisecond.
	TurnBudget int
}

const (
	defaultReadBufferLimit  = 1 << 20
	defaultWriteBufferLimit = 16 << 20
	defaultHighWater        = 128 << 10
	defaultCloseTimeout     = 5 * time.Second
	defaultHandshakeTimeout = 10 * time.Second
	defaultTurnBudget       = 256 << 10
	readsPerTurn            = 16
	gatherLimit             = 64 << 10
)

// ErrWriteBufferFull is returned by a write that would make the queue longer than WriteBufferLimit. Nothing of it was
// taken.
var ErrWriteBufferFull = errors.New("tandem: write buffer full")

// withDefaultsFrom returns o with its zero fields taken from base.
func (o StreamOptions) withDefaultsFrom(base StreamOptions) StreamOptions {
	for _, f := range []struct{ mine, theirs *int }{
		{&o.ReadBufferLimit, &base.ReadBufferLimit}, {&o.WriteBufferLimit, &base.WriteBufferLimit},
		{&o.HighWater, &base.HighWater}, {&o.LowWater, &base.LowWater}, {&o.TurnBudget, &base.TurnBudget},
		{&o.ReceiveFiles, &base.ReceiveFiles},
	} {
		if *f.mine == 0 {
			*f.mine = *f.theirs
		}
	}
	for _, f := range []struct{ mine, theirs *time.Duration }{
		{&o.CloseTimeout, &base.CloseTimeout}, {&o.IdleTimeout, &base.IdleTimeout},
		{&o.ReadIdleTimeout, &base.ReadIdleTimeout}, {&o.HalfCloseTimeout, &base.HalfCloseTimeout},
		{&o.TLSHandshakeTimeout, &base.TLSHandshakeTimeout},
	} {
		if *f.mine == 0 {
			*f.mine = *f.theirs
		}
	}
	o.ReadWhileBlocked = o.ReadWhileBlocked || base.ReadWhileBlocked
	o.AllowHalfClose = o.AllowHalfClose || base.AllowHalfClose
	return o
}

// Complete fills in the defaults, and names the first field that cannot be honoured.
func (o StreamOptions) Complete() (*StreamOptions, error) {
	for _, f := range []struct {
		name  string
		value *int
		zero  int
	}{
		{"ReadBufferLimit", &o.ReadBufferLimit, defaultReadBufferLimit},
		{"WriteBufferLimit", &o.WriteBufferLimit, defaultWriteBufferLimit},
		{"TurnBudget", &o.TurnBudget, defaultTurnBudget},
	} {
		if *f.value < 0 {
			return nil, fmt.Errorf("%s is %d bytes; it must be positive, or 0 for the default", f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.zero
		}
	}
	if err := o.completeWater(); err != nil {
		return nil, err
	}
	o.ReceiveFiles = max(o.ReceiveFiles, 0)
	if o.CloseTimeout == 0 {
		o.CloseTimeout = defaultCloseTimeout
	}
	if o.TLSHandshakeTimeout == 0 {
		o.TLSHandshakeTimeout = defaultHandshakeTimeout
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"IdleTimeout", o.IdleTimeout}, {"ReadIdleTimeout", o.ReadIdleTimeout}, {"HalfCloseTimeout", o.HalfCloseTimeout}} {
		if f.value < 0 {
			return nil, fmt.Errorf("%s is %v; it must be positive, or 0 for none", f.name, f.value)
		}
	}
	return &o, nil
}

func (o *StreamOptions) completeWater() error {
	if o.HighWater == 0 {
		o.HighWater = min(defaultHighWater, o.WriteBufferLimit)
	}
	if o.LowWater == 0 {
		o.LowWater = max(o.HighWater/2, 1)
	}
	switch {
	case o.HighWater < 0 || o.HighWater > o.WriteBufferLimit:
		return fmt.Errorf("HighWater is %d bytes; it must be between 1 and WriteBufferLimit, %d", o.HighWater, o.WriteBufferLimit)
	case o.LowWater < 0 || o.LowWater > o.HighWater:
		return fmt.Errorf("LowWater is %d bytes; it must be between 1 and HighWater, %d", o.LowWater, o.HighWater)
	}
	return nil
}
