package polled

import (
	"container/list"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// StreamSession is a Session of bytes over a Stream. How the bytes reach the caller depends on the Transport:
//
//	with loops        loop's goroutine ── OnData, 256 KiB at most ──► Read, on the caller's goroutine
//	CallerDriven      Drive polls the Transport, on the one goroutine there is
//
// Beyond 256 KiB of unread bytes the Stream stops reading, and then the peer has to wait. The Transport's MemoryLimit
// counts only bytes that are still in the Stream. Write takes what fits below HighWater.
type StreamSession struct {
	stream   *session.Stream
	handler  streamHandler
	poller   session.Poller
	pool     *backend.Pool // provides the memory of handler.in
	lent     []byte        // returned by the last Read, from pool; nil: nothing
	seen     uint64        // events and sent bytes when Drive returned last
	closed   bool
	notified bool // whether Notify has set a function

	queued *list.Element // its place in a Listener's queue, whose lock guards this; nil: it is not in one
}

// NewStreamSession makes a Session of a stream. It is called in a callback of the stream, such as OnOpen, and replaces the
// stream's handler.
func NewStreamSession(s *session.Stream) *StreamSession {
	b := &StreamSession{handler: streamHandler{room: mostUnread}}
	b.bind(s)
	b.handler.status = Established
	s.SetHandler(&b.handler)
	return b
}

// bind sets the fields that depend on the stream.
func (b *StreamSession) bind(s *session.Stream) {
	b.stream, b.poller, b.pool = s, session.StreamPoller(s), session.Memory(s)
}

// Stream returns the stream, for its addresses, options and statistics.
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
	b.handler.look()
	if err := b.failure(false); err != nil {
		return Idle, err
	}
	n, err := b.poller.Poll(0)
	if err != nil {
		return Idle, err
	}
	activity := Idle
	if now := b.handler.eventCount() + b.stream.Stats().BytesSent; n > 0 || now != b.seen {
		activity, b.seen = Active, now
	}
	return activity, b.failure(false)
}

// failure returns why the session has ended: at once, or only when everything received has been read.
func (b *StreamSession) failure(atOnce bool) error {
	if b.closed {
		return net.ErrClosed
	}
	_, err := b.handler.state(atOnce)
	return err
}

// Read implements Session.
func (b *StreamSession) Read() ([]byte, ReadStatus, error) {
	b.endLoan()
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

// endLoan returns the memory of the last Read to the pool.
func (b *StreamSession) endLoan() {
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
		if b.notified {
			session.TellWritable(b.stream)
		}
		return p[n:], Pending, nil
	}
	return nil, Success, nil
}

// TLS returns what is known of the stream's TLS, as Stream.TLS does. If Truncated is set, the io.EOF of Read may have been
// sent by somebody in between.
func (b *StreamSession) TLS() (session.TLSState, bool) { return b.stream.TLS() }

// Queued returns the number of bytes that Write has taken and the kernel has not.
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

// Close implements Session. As Stream.Close it sends what is queued, and gives up a peer that takes nothing for
// CloseTimeout. A CallerDriven Transport has to be polled until then, or shut down.
func (b *StreamSession) Close() error { return b.closeBy((*session.Stream).Close) }

// CloseInStages is Close for a peer that may still be sending, as the function session.CloseInStages.
func (b *StreamSession) CloseInStages() error { return b.closeBy(session.CloseInStages) }

// closeBy ends the session, and its stream by end.
func (b *StreamSession) closeBy(end func(*session.Stream) error) error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.handler.setNotify(nil)
	b.endLoan()
	if p, _, err := b.handler.take(); err == nil && p != nil {
		b.pool.Put(p)
	}
	return end(b.stream)
}

// Detach returns the connection as a net.Conn, as Stream.Detach does, with every byte that the session holds. The session
// ends: its methods return net.ErrClosed. On a CallerDriven Transport Detach polls until the Conn is live. If it returns
// an error, such as syscall.ENOTCONN or EMFILE, the session goes on. What the last Read returned stays valid.
func (b *StreamSession) Detach() (net.Conn, error) { return b.detachWith(nil, nil) }

// detachWith implements detacher.
func (b *StreamSession) detachWith(unread, unsent []byte) (net.Conn, error) {
	if b.closed {
		return nil, net.ErrClosed
	}
	var live atomic.Bool
	c, err := session.DetachWith(b.stream, func() ([]byte, []byte) {
		live.Store(true)
		return slices.Concat(unread, b.handler.Unread(b.stream)), unsent
	})
	if err != nil {
		return nil, err
	}
	b.closed = true
	b.handler.setNotify(nil)
	b.lent = nil // belongs to the caller from now on
	for b.poller.CallerDriven() && !live.Load() {
		if _, err := b.poller.Poll(time.Millisecond); err != nil {
			break // such as in a callback
		}
	}
	return c, nil
}

var (
	_ Bytes     = (*StreamSession)(nil)
	_ io.Closer = (*StreamSession)(nil)
	_ detacher  = (*StreamSession)(nil)
)
