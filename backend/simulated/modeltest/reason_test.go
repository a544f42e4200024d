package modeltest

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// reasonable checks that the stream may have ended with err.
func (m *stream) reasonable(err error) {
	var op *net.OpError
	var p *session.PanicError
	userEnd := m.closing || m.mayClose
	ok := true
	switch {
	case m.w.failing[m.loop()] != nil && (errors.Is(err, simulated.ErrFailed) || errors.Is(err, backend.ErrGoexit)):
		ok = true
	case err == nil:
		ok = userEnd || m.detached
		if m.refused && !(m.detached && m.w.failing[m.loop()] != nil) { // a loop that has died refuses for its streams
			m.failf("S16: OnClose(nil), and it had ended before anybody closed it")
		}
	case !m.opened && m.dial != nil && errors.As(err, &op):
		m.dial.check(m, err)
	case errors.As(err, &p):
		ok = m.panicked && p.Value == panicValue
	case err == errCause, err == net.ErrClosed:
		ok = m.abortedWith(err) || m.w.aborted || !m.opened && (m.closing || m.mayClose)
	case err == io.ErrUnexpectedEOF:
		ok = m.brokenTLS(err) && m.inTrouble()
	case errors.As(err, &op):
		ok = m.failure(op) || m.brokenTLS(err) && m.inTrouble()
	case errors.Is(err, os.ErrDeadlineExceeded):
		ok = m.late()
	case !m.opened && m.how == adopted:
		ok = errors.Is(err, net.ErrClosed)
	default:
		ok = false
	}
	if !ok {
		m.failf("OnClose(%w) without a reason", errOrNil(err))
	}
	if m.blocked && !errors.As(err, &op) && !errors.Is(err, os.ErrDeadlineExceeded) {
		m.failf("S11: bytes came while the queue was above HighWater, and then OnClose(%w)", errOrNil(err))
	}
}

func errOrNil(err error) error {
	if err == nil {
		return errors.New("nil")
	}
	return err
}

func (m *stream) abortedWith(err error) bool {
	for _, c := range m.causes {
		if c == err {
			return true
		}
	}
	return false
}

// failure checks a failure of the connection.
func (m *stream) failure(op *net.OpError) bool {
	if op.Source == nil || op.Addr == nil || op.Net == "" {
		m.failf("S19: %w lacks an address", op)
	}
	var errno syscall.Errno
	if !errors.As(op, &errno) {
		return false
	}
	switch {
	case op.Op == "open":
		return m.w.scarce() && isScarce(op)
	case errno == syscall.ECONNRESET, errno == syscall.EPIPE:
		return (op.Op == "read" || op.Op == "write") && m.inTrouble()
	case errno == syscall.ETIMEDOUT:
		return true
	}
	return false
}

// late reports whether a timeout may have ended the stream.
func (m *stream) late() bool {
	now := m.w.now()
	since := m.since
	if !m.closing {
		since = m.w.downSince
	}
	if (m.closing || m.mayClose) && m.opts.CloseTimeout > 0 && now-since >= m.opts.CloseTimeout {
		return true
	}
	return m.wasLate || m.silent()
}

// silent reports whether nothing may have moved for so long that an idle timeout ends the stream.
func (m *stream) silent() bool {
	now := m.w.now()
	if m.encrypted() {
		return m.idle > 0 || m.readIdle > 0 // it may not have seen what has moved
	}
	return m.idle > 0 && now-m.moved >= m.idle || m.readIdle > 0 && now-m.came >= m.readIdle
}
