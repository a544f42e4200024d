package polled

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// StreamSession is a Session of bytes over a Stream, in one of two ways:
//
//	Transport with loops       loop's goroutine ── OnData, 256 KiB at most ──► Read, on the owner's goroutine
//	CallerDriven Transport     Drive polls the Transport, on the one goroutine there is
//
// Unread bytes beyond 256 KiB wait in the Stream and with the peer; a Transport's MemoryLimit counts only those in the
// Stream. Write takes what has room below HighWater. Sessions
// that share a CallerDriven Transport are driven on the goroutine that polls it, never in a callback; one of them polls
// for all of them, once in a duty cycle, and none if the caller does.
type StreamSession struct {
	stream  *session.Stream
	handler streamHandler
	pump    session.Poller
	pool    *backend.Pool // the memory of handler.in
	lent    []byte        // memory of the loop's pool that Read has lent
	moved   uint64        // what Drive has seen happen
	closed  bool

	queued     bool           // it waits in an Listener, whose lock guards this and what follows
	prev, next *StreamSession // neighbours there
}

// Connect begins to connect and returns a Session that is Establishing. Sessions may close in one direction, as with
// AllowHalfClose. o may be nil.
func Connect(t Transport, network, address string, o *session.DialOptions) (*StreamSession, error) {
	var mine session.DialOptions
	if o != nil {
		mine = *o
	}
	mine.AllowHalfClose = true
	b := &StreamSession{handler: streamHandler{room: handover}}
	s, err := t.Connect(network, address, &b.handler, &mine)
	if err != nil {
		return nil, err
	}
	b.own(s)
	return b, nil
}

// NewStreamSession makes a Session of a stream, in a callback of it such as OnOpen. From then on the stream is the
// session's: it gets a handler of its own.
func NewStreamSession(s *session.Stream) *StreamSession {
	b := &StreamSession{handler: streamHandler{room: handover}}
	b.own(s)
	b.handler.status = Established
	s.SetHandler(&b.handler)
	return b
}

func (b *StreamSession) own(s *session.Stream) {
	b.stream, b.pump, b.pool = s, session.StreamPoller(s), session.Memory(s)
}

// Stream returns the stream, for its addresses, options and figures.
func (b *StreamSession) Stream() *session.Stream { return b.stream }

// Status implements Session.
func (b *StreamSession) Status() Status {
	if b.closed {
		return Terminated
	}
	status, _ := b.handler.state(false)
	return status
}

// Drive implements Session.
func (b *StreamSession) Drive() (Activity, error) {
	if err := b.failure(false); err != nil {
		return Idle, err
	}
	n, err := b.pump.Poll(0)
	if err != nil {
		return Idle, err
	}
	activity := Idle
	if moved := b.handler.happened() + b.stream.Stats().BytesSent; n > 0 || moved != b.moved {
		activity, b.moved = Active, moved
	}
	return activity, b.failure(false)
}

// failure returns the error of a session that has ended; at once, or when all that came has been read.
func (b *StreamSession) failure(atOnce bool) error {
	if b.closed {
		return net.ErrClosed
	}
	_, err := b.handler.state(atOnce)
	return err
}

// Read implements Session.
func (b *StreamSession) Read() ([]byte, ReadStatus, error) {
	b.giveBack()
	if b.closed {
		return nil, None, net.ErrClosed
	}
	p, resume, err := b.handler.take()
	if resume {
		b.stream.ResumeRead()
	}
	if err != nil {
		return nil, None, err
	}
	if len(p) == 0 {
		return nil, None, nil
	}
	b.lent = p
	return p, Data, nil
}

// giveBack ends the loan of the last Read.
func (b *StreamSession) giveBack() {
	if b.lent != nil {
		b.pool.Put(b.lent)
		b.lent = nil
	}
}

// Write implements Session.
func (b *StreamSession) Write(p []byte) ([]byte, WriteStatus, error) {
	if err := b.failure(true); err != nil {
		return p, Pending, err
	}
	if b.Status() == Establishing {
		return p, Pending, nil
	}
	n, err := session.WritePart(b.stream, p)
	switch {
	case err != nil:
		return p, Pending, err
	case n < len(p):
		return p[n:], Pending, nil
	}
	return nil, Success, nil
}

// Queued returns how many bytes Write has taken and the kernel has not.
func (b *StreamSession) Queued() int { return b.stream.Queued() }

// Flush implements Session.
func (b *StreamSession) Flush() error {
	if err := b.failure(true); err != nil {
		return err
	}
	return b.stream.Flush()
}

// CloseWrite sends what Write took, and then FIN: the peer reads io.EOF. Reading goes on.
func (b *StreamSession) CloseWrite() error {
	if err := b.failure(true); err != nil {
		return err
	}
	return b.stream.CloseWrite()
}

// Close implements Session: it is the Stream's Close. The loop sends what is queued, for at most CloseTimeout; a
// CallerDriven Transport has to be polled for that, or shut down.
func (b *StreamSession) Close() error { return b.closeBy((*session.Stream).Close) }

// closeBy ends the session, and its stream by end.
func (b *StreamSession) closeBy(end func(*session.Stream) error) error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.giveBack()
	if p, _, err := b.handler.take(); err == nil && p != nil {
		b.pool.Put(p)
	}
	return end(b.stream)
}

// CloseInStages is Close for a peer that may still be sending, as of the function CloseInStages.
func (b *StreamSession) CloseInStages() error { return b.closeBy(session.CloseInStages) }

// Detach hands the connection on as a net.Conn, with every byte that the session holds, as Stream.Detach does. The
// session ends: its methods return net.ErrClosed. On a CallerDriven Transport it polls until the Conn is live. If it
// returns an error, such as syscall.ENOTCONN or EMFILE, the session goes on. What the last Read returned stays valid.
func (b *StreamSession) Detach() (net.Conn, error) { return b.detachWith(nil, nil) }

// detachWith is Detach for a layer above, with bytes that it has read and not used, and such as it has still to send.
func (b *StreamSession) detachWith(front, rest []byte) (net.Conn, error) {
	if b.closed {
		return nil, net.ErrClosed
	}
	var live atomic.Bool
	c, err := session.DetachWith(b.stream, func() (unread, unsent []byte) {
		live.Store(true)
		return slices.Concat(front, b.handler.detached()), rest
	})
	if err != nil {
		return nil, err
	}
	b.closed = true
	b.lent = nil // the caller's from now on
	for b.pump.CallerDriven() && !live.Load() {
		if _, err := b.pump.Poll(time.Millisecond); err != nil {
			break // such as in a callback
		}
	}
	return c, nil
}

// detacher is a Session that can be handed on.
type detacher interface {
	detachWith(front, rest []byte) (net.Conn, error)
}

// detachBelow hands on the Session below a layer, with bytes that the layer has read and not used, and such as it has
// still to send.
func detachBelow(below any, front, rest []byte) (net.Conn, error) {
	d, ok := below.(detacher)
	if !ok {
		return nil, fmt.Errorf("polled: detach a %T: %w", below, errors.ErrUnsupported)
	}
	return d.detachWith(front, rest)
}

// closeBelow closes the Session below a layer in stages, where that can do so.
func closeBelow(below io.Closer) error {
	if c, ok := below.(interface{ CloseInStages() error }); ok {
		return c.CloseInStages()
	}
	return below.Close()
}

var (
	_ Bytes     = (*StreamSession)(nil)
	_ io.Closer = (*StreamSession)(nil)
)
