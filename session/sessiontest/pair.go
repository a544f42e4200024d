package sessiontest

import (
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/tandem-io/tandem/session/polled"
)

// Pair returns the two ends of a connection in memory. At most capacity bytes are under way in each direction; a Write takes
// what there is room for. Each end may be used by a goroutine of its own.
func Pair(capacity int) (a, b *End) {
	p := &pair{capacity: capacity}
	return &End{pair: p, side: 0}, &End{pair: p, side: 1}
}

// pair is the state that two Ends share.
type pair struct {
	mu       sync.Mutex // guards all
	capacity int
	way      [2][]byte // bytes under way to each end
	closed   [2]bool
	reset    bool
}

// End is one end of a Pair: a Session of bytes.
type End struct {
	pair *pair
	side int
	lent []byte // result of the last Read
	seen int    // number of bytes under way to this end when it was driven last
}

// lock locks the pair and returns it.
func (e *End) lock() *pair {
	e.pair.mu.Lock()
	return e.pair
}

// failure returns why the end has failed or is closed: at once, or only when everything has been read. The pair is locked.
func (e *End) failure(atOnce bool) error {
	p := e.pair
	switch {
	case p.closed[e.side]:
		return net.ErrClosed
	case p.reset && (atOnce || len(p.way[e.side]) == 0):
		return syscall.ECONNRESET
	}
	return nil
}

// Status implements polled.Session.
func (e *End) Status() polled.Status {
	defer e.lock().mu.Unlock()
	if e.failure(false) != nil {
		return polled.Terminated
	}
	return polled.Established
}

// Drive implements polled.Session. It is Active if bytes have arrived.
func (e *End) Drive() (polled.Activity, error) {
	p := e.lock()
	defer p.mu.Unlock()
	n := len(p.way[e.side])
	came := n > e.seen
	e.seen = n
	if came {
		return polled.Active, e.failure(false)
	}
	return polled.Idle, e.failure(false)
}

// Read implements polled.Session.
func (e *End) Read() ([]byte, polled.ReadStatus, error) {
	p := e.lock()
	defer p.mu.Unlock()
	clear(e.lent) // it is no longer valid, and a test that still uses it should fail
	e.lent, e.seen = nil, 0
	if err := e.failure(false); err != nil {
		return nil, polled.None, err
	}
	if in := p.way[e.side]; len(in) > 0 {
		p.way[e.side], e.lent = nil, in
		return in, polled.Data, nil
	}
	if p.closed[1-e.side] {
		return nil, polled.None, io.EOF
	}
	return nil, polled.None, nil
}

// Write implements polled.Session. If the peer has closed, it resets the connection, as TCP does.
func (e *End) Write(b []byte) ([]byte, polled.WriteStatus, error) {
	p := e.lock()
	defer p.mu.Unlock()
	if !p.closed[e.side] && p.closed[1-e.side] && len(b) > 0 {
		p.reset = true
	}
	if err := e.failure(true); err != nil {
		return b, polled.Pending, err
	}
	to := 1 - e.side
	n := min(len(b), p.capacity-len(p.way[to]))
	p.way[to] = append(p.way[to], b[:n]...)
	if n < len(b) {
		return b[n:], polled.Pending, nil
	}
	return nil, polled.Success, nil
}

// Flush implements polled.Session.
func (e *End) Flush() error {
	defer e.lock().mu.Unlock()
	return e.failure(true)
}

// Close implements polled.Session. Bytes that are under way to the other end still arrive.
func (e *End) Close() error {
	p := e.lock()
	defer p.mu.Unlock()
	p.closed[e.side] = true
	p.way[e.side] = nil
	return nil
}

// Reset breaks the connection: both ends fail once they have read what is under way.
func (e *End) Reset() {
	p := e.lock()
	defer p.mu.Unlock()
	p.reset = true
}

var _ polled.Bytes = (*End)(nil)
