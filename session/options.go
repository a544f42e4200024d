package session

import (
	"errors"
	"fmt"
	"time"
)

// StreamOptions are the limits and habits of streams. They can be set for a Transport, and again for a listener or a
// dial, where a zero field means that of the Transport.
type StreamOptions struct {
	// ReadBufferLimit is how many unread bytes a stream holds before it stops reading from the kernel; it goes on
	// below half. In bytes. Default 1 MiB, at least 1. It must exceed the largest message that a handler waits for;
	// for handlers of Frames the stream sees to that by itself.
	ReadBufferLimit int

	// WriteBufferLimit is how many bytes may be queued. In bytes. Default 16 MiB, at least 1.
	WriteBufferLimit int

	// HighWater is the number of queued bytes above which Writable is false and the stream does not read.
	// In bytes. Default 1 MiB, at most WriteBufferLimit.
	HighWater int

	// LowWater is the number of queued bytes under which the stream is writable again. In bytes. Default half of
	// HighWater, at most HighWater.
	LowWater int

	// ReadWhileBlocked lets a stream read although its queue is above HighWater.
	ReadWhileBlocked bool

	// AllowHalfClose keeps a stream open for writing when its peer has finished sending, until Close.
	AllowHalfClose bool

	// CloseTimeout is how long Close waits for queued bytes to go out. Default 5 s. Negative: it does not wait.
	CloseTimeout time.Duration

	// IdleTimeout ends a stream by which no byte came or went for so long. Default 0: none.
	IdleTimeout time.Duration

	// TurnBudget is how many bytes of one stream are delivered, or sent, in one loop turn before others have theirs.
	// In bytes. Default 256 KiB, at least 1. Not more than 16 reads are delivered in one turn in any case.
	TurnBudget int
}

const (
	defaultReadBufferLimit  = 1 << 20
	defaultWriteBufferLimit = 16 << 20
	defaultHighWater        = 1 << 20
	defaultCloseTimeout     = 5 * time.Second
	defaultTurnBudget       = 256 << 10
	readsPerTurn            = 16
	gatherLimit             = 64 << 10
)

// ErrWriteBufferFull is returned by a write that would make the queue longer than WriteBufferLimit. Nothing of it was
// taken.
var ErrWriteBufferFull = errors.New("tandem: write buffer full")

// over returns o with its zero fields taken from base.
func (o StreamOptions) over(base StreamOptions) StreamOptions {
	for _, f := range []struct{ mine, theirs *int }{
		{&o.ReadBufferLimit, &base.ReadBufferLimit}, {&o.WriteBufferLimit, &base.WriteBufferLimit},
		{&o.HighWater, &base.HighWater}, {&o.LowWater, &base.LowWater}, {&o.TurnBudget, &base.TurnBudget},
	} {
		if *f.mine == 0 {
			*f.mine = *f.theirs
		}
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = base.CloseTimeout
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = base.IdleTimeout
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
			return nil, fmt.Errorf("tandem: %s is %d bytes; it must be positive, or 0 for the default", f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.zero
		}
	}
	if err := o.completeWater(); err != nil {
		return nil, err
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = defaultCloseTimeout
	}
	if o.IdleTimeout < 0 {
		return nil, fmt.Errorf("tandem: IdleTimeout is %v; it must be positive, or 0 for none", o.IdleTimeout)
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
		return fmt.Errorf("tandem: HighWater is %d bytes; it must be between 1 and WriteBufferLimit, %d", o.HighWater, o.WriteBufferLimit)
	case o.LowWater < 0 || o.LowWater > o.HighWater:
		return fmt.Errorf("tandem: LowWater is %d bytes; it must be between 1 and HighWater, %d", o.LowWater, o.HighWater)
	}
	return nil
}
