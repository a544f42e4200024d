package modeltest

import (
	"errors"
	"net"
	"syscall"

	"github.com/tandem-io/tandem/session"
)

// opDetach takes the connection out of the stream.
func (m *stream) opDetach(n int) {
	if m.encrypted() {
		return // what its Conn does, rules on real kernels say
	}
	var c net.Conn
	var err error
	if n%3 == 1 {
		c, err = m.detachWith(n)
	} else {
		c, err = m.s.Detach()
	}
	var op *net.OpError
	switch {
	case err == nil:
		m.ended("Detach", nil)
		if !m.opened {
			m.failf("S30: Detach before OnOpen")
		}
		m.detached = true
		m.w.newConn(m, c, n)
	case !m.opened && errors.Is(err, syscall.ENOTCONN):
	case errors.As(err, &op) && isScarce(err):
		if !m.w.scarce() {
			m.failf("S30: Detach: %w", err)
		}
	default:
		m.ended("Detach", err)
	}
}

func isScarce(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// detachWith is Detach of a layer that holds bytes of both directions.
func (m *stream) detachWith(n int) (net.Conn, error) {
	var unread []byte
	if m.w.onLoopOf(m) && !m.over() && !m.detached {
		p, _ := m.s.Next(min(m.s.Buffered(), n%50))
		unread = append(unread, p...)
	}
	if m.fin {
		n = 0 // behind FIN nothing can be sent
	}
	unsent, calls := m.next(n), 0
	c, err := session.DetachWith(m.s, func() ([]byte, []byte) {
		defer m.enter("the function of DetachWith", true)()
		if calls++; calls > 1 {
			m.failf("S30: the function of DetachWith is called again")
		}
		return unread, unsent
	})
	if err != nil {
		m.read(unread)
	} else {
		m.accepted.Add(int64(n))
		m.holds = len(unread) > 0
	}
	return c, err
}
