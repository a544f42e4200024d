package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// Carried is what a connection has in front of its socket. It goes with the socket to another process, where Adopt finds
// it by [Carrier].
type Carried struct {
	Unread []byte // received and not read: comes before what the socket has
	Unsent []byte // written and not sent: goes before everything that is written later
	Shut   bool   // CloseWrite was called: FIN follows Unsent
	Sent   bool   // and that FIN is sent
}

// Carrier is a connection for Adopt that comes with bytes, such as one that another process has handed over.
type Carrier interface {
	syscall.Conn

	// Carried returns what is in front of the socket. Adopt calls it once. If it succeeds, the slices are the stream's.
	Carried() Carried
}

// errLeft is what became of bytes that had not been sent.
var errLeft = fmt.Errorf("the connection has gone to another process, and with it what was not sent: %w", net.ErrClosed)

// errFilesHeld is why a connection stays.
var errFilesHeld = fmt.Errorf("files wait to be taken, and do not go to another process: %w", syscall.EBUSY)

// Leave makes a connection ready to go to another process, which gets its socket and what it returns. c is what Detach or
// DetachThen has returned, for which Leave waits until it is live, or another connection that is a syscall.Conn and holds no
// bytes of its own, such as a *net.TCPConn. Nobody may use c until settle was called, once: settle(true) closes c here, and
// says nothing to the peer; settle(false) has c go on as if nothing had been. If Leave returns an error, c goes on as well.
//
// A Conn with TLS is errors.ErrUnsupported: its keys stay in this process. One with files that nobody has taken is
// syscall.EBUSY. In a callback of the Transport, which cannot
// wait, the error is [backend.ErrOnLoop].
func Leave(ctx context.Context, c net.Conn) (held Carried, settle func(gone bool), err error) {
	switch c := c.(type) {
	case *detached:
		return c.leave(ctx)
	case *secured:
		return held, nil, fmt.Errorf("a connection with TLS cannot go to another process: %w", errors.ErrUnsupported)
	case syscall.Conn:
		return held, func(gone bool) {
			if gone {
				_ = c.(net.Conn).Close()
			}
		}, nil
	case nil:
		return held, nil, errors.New("the connection is nil")
	default:
		return held, nil, fmt.Errorf("a %T has no socket that could go to another process: %w", c, errors.ErrUnsupported)
	}
}

func (c *detached) leave(ctx context.Context) (held Carried, settle func(gone bool), err error) {
	if !c.isLive() && c.loop.engine.onLoop() {
		return held, nil, c.opError("leave", backend.ErrOnLoop)
	}
	select {
	case <-c.live:
	case <-ctx.Done():
		return held, nil, ctx.Err()
	}
	h, err := c.surrender()
	if err != nil {
		return held, nil, err
	}
	if len(h.files) > 0 {
		c.takeBack(h)
		return held, nil, c.opError("leave", errFilesHeld)
	}
	return Carried{Unread: h.unread, Unsent: h.unsent, Shut: h.fin, Sent: h.finSent}, func(gone bool) {
		if !gone {
			c.takeBack(h)
			return
		}
		h.report(0, errLeft)
		_ = c.Conn.Close()
	}, nil
}

// carriedBy is what comes with a connection for Adopt that is no Conn of Detach.
func carriedBy(c syscall.Conn) holdings {
	from, ok := c.(Carrier)
	if !ok {
		return holdings{}
	}
	h := from.Carried()
	return holdings{unread: h.Unread, unsent: h.Unsent, fin: h.Shut || h.Sent, finSent: h.Sent, report: func(int, error) {}}
}

// DetachThen is Stream.Detach for a program that wants to know how far it has come with the stream: last is called once, on
// the loop, right before the Conn is live, when no more is delivered. It must not block, nor call methods of the stream.
//
// As with Detach, writes to the stream fail from then on. A callback that is running has perhaps read what such a write
// answers; where that matters, detach by Stream.Post, so that none is running.
// Panics in it end as in [DetachWith].
func DetachThen(s *Stream, last func()) (net.Conn, error) {
	if last == nil {
		return nil, errNoFunction
	}
	return DetachWith(s, func() (unread, unsent []byte) {
		last()
		return s.heldAbove(), nil
	})
}
