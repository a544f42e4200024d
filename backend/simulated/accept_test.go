package simulated_test

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// lines is a log, which is read when the loops sleep.
type lines struct{ bytes.Buffer }

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&l.Buffer, nil)) }

// count is how many lines hold a text.
func (l *lines) count(text string) int { return strings.Count(l.String(), text) }

// logged is an engine that the test polls, with its log.
func logged(t *testing.T, completions bool, c simulated.Config, change func(*session.Config)) (*world, *lines) {
	log := &lines{}
	return driven(t, completions, c, func(c *session.Config) {
		c.Logger = log.logger()
		if change != nil {
			change(c)
		}
	}), log
}

// passes polls until d has passed.
func (w *world) passes(d time.Duration) {
	for until := w.k.Now() + d; w.k.Now() < until; {
		_, err := w.e.Poll(until - w.k.Now())
		require.NoError(w.t, err)
	}
}

// TestAcceptBacksOff has descriptors be short: the listener waits longer each time, up to a second, says so once a second,
// and goes on by itself. A success has it begin anew.
func TestAcceptBacksOff(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, log := logged(t, completions, simulated.Config{}, nil)
		h := &echo{}
		l, err := w.e.Listen("tcp", "localhost:0", h, nil)
		require.NoError(t, err)
		w.passes(time.Millisecond)
		for range 2 {
			before, turns := l.Stats(), w.e.Stats().Turns
			log.Reset()
			w.k.Shortage(syscall.EMFILE)
			p := w.dial(l.Addr().String())
			w.passes(10 * time.Second)
			failed := l.Stats().Errors - before.Errors
			require.EqualValues(t, 1+8+8, failed) // at once, after 5, 10, 20, ... 640 ms, then each second
			require.Equal(t, failed, l.Stats().Backoffs-before.Backoffs)
			require.Equal(t, failed, w.e.Stats().AcceptErrors-before.Errors)
			require.Less(t, w.e.Stats().Turns-turns, uint64(200)) // 20 a second
			require.LessOrEqual(t, log.count("cannot accept"), 11)
			require.Positive(t, log.count("ulimit -n"))
			require.NoError(t, l.Err())
			w.k.Shortage(nil)
			opened := h.opened
			w.until("a stream", func() bool { return h.opened > opened })
			require.NoError(t, p.Err())
		}
		w.end()
	})
}

// TestAcceptFailsInARow has connection after connection fail as it is accepted: at first each is another's fault, and then
// the listener backs off.
func TestAcceptFailsInARow(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, log := logged(t, completions, simulated.Config{}, nil)
		h := &echo{}
		l, err := w.e.Listen("tcp", "localhost:0", h, nil)
		require.NoError(t, err)
		w.k.AcceptError(syscall.ECONNABORTED)
		w.dial(l.Addr().String())
		w.until("a back-off", func() bool { return l.Stats().Backoffs > 0 })
		require.EqualValues(t, 32, l.Stats().Errors)
		require.Equal(t, 1, log.count("connections fail as they are accepted"))
		turns := w.e.Stats().Turns
		w.passes(10 * time.Second)
		require.Less(t, w.e.Stats().Turns-turns, uint64(200))
		require.NoError(t, l.Err())
		w.k.AcceptError(nil)
		w.until("a stream", func() bool { return h.opened == 1 })
		w.end()
	})
}

// TestListenSocketFails has a socket of a listener accept no longer. With others the listener goes on, and it ends with the
// last of them.
func TestListenSocketFails(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		log := &lines{}
		w, _ := looped(t, completions, simulated.Config{}, 2, func(c *session.Config) {
			c.Balance, c.Logger = session.ReusePort, log.logger()
		})
		h := &lockedEcho{}
		l, err := w.e.Listen("tcp", "localhost:0", h, nil)
		require.NoError(t, err)
		for i, text := range []string{"the others go on", "a listener has ended"} {
			require.NoError(t, l.Err())
			w.k.AcceptError(syscall.EINVAL)
			w.dial(l.Addr().String())
			w.steps("a failure", func() bool { return l.Stats().Errors == uint64(i)+1 })
			w.k.AcceptError(nil)
			for range 20 {
				w.k.Step()
			}
			require.Equal(t, 1, log.count(text))
			require.Equal(t, 1-i, w.k.OpenDescriptors())
		}
		var op *net.OpError
		require.ErrorAs(t, l.Err(), &op)
		require.Equal(t, "accept", op.Op)
		require.ErrorIs(t, op, syscall.EINVAL)
		require.NoError(t, w.ask("Close", l.Close))
		require.ErrorIs(t, l.Err(), syscall.EINVAL) // also after Close
		require.Zero(t, w.k.OpenDescriptors())
		w.endStepped()
	})
}

// TestListenOptionsOfSockets has an option that cannot be, one that the kernel refuses the listener, and one that it refuses
// the connections: these are reset, and no handler hears of them.
func TestListenOptionsOfSockets(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, log := logged(t, completions, simulated.Config{}, nil)
		h := &echo{}
		listen := func(o *session.ListenOptions) (session.Listener, error) {
			return w.e.Listen("tcp", "localhost:0", h, o)
		}
		_, err := listen(&session.ListenOptions{Socket: []backend.SocketOption{backend.FastOpenConnect(true)}})
		require.ErrorIs(t, err, syscall.EINVAL)
		var option *backend.SocketOptionError
		require.ErrorAs(t, err, &option)
		o := &session.ListenOptions{Socket: []backend.SocketOption{backend.Priority(7)}}
		w.k.Forbid(o.Socket[0], syscall.EPERM)
		_, err = listen(o)
		require.ErrorIs(t, err, syscall.EPERM)
		require.Zero(t, w.k.OpenDescriptors())
		w.k.Forbid(o.Socket[0], nil)
		late := *o
		late.Control = func(string, string, syscall.RawConn) error {
			w.k.Forbid(o.Socket[0], syscall.EPERM)
			return nil
		}
		_, err = listen(&late) // what has to be set once it listens
		require.ErrorIs(t, err, syscall.EPERM)
		require.Zero(t, w.k.OpenDescriptors())
		w.k.Forbid(o.Socket[0], nil)
		l, err := listen(o)
		require.NoError(t, err)
		w.k.Forbid(o.Socket[0], syscall.EPERM)
		p := w.dial(l.Addr().String())
		w.until("a reset", func() bool { return p.Err() != nil })
		require.Zero(t, h.opened)
		require.EqualValues(t, 1, l.Stats().Errors)
		require.Equal(t, 1, log.count("cannot have the listener's socket options"))
		w.k.Forbid(o.Socket[0], nil)
		w.dial(l.Addr().String())
		w.until("a stream", func() bool { return h.opened == 1 })
		w.end()
	})
}

// TestParkedConnectionOverTheLimit has a connection wait because of a pause, and be over the limit when that ends.
func TestParkedConnectionOverTheLimit(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		parked := 0
		for seed := range uint64(10) {
			w := newWorld(t, completions, simulated.Config{Seed: seed, Latency: time.Nanosecond})
			h := &echo{}
			l, err := w.e.Listen("tcp", "localhost:0", h, &session.ListenOptions{MaxConns: 1, RejectOverLimit: true})
			require.NoError(t, err)
			first := w.dial(l.Addr().String())
			stop := &hooks{data: func(*session.Stream) { l.PauseAccept() }}
			other := w.peer(stop, nil)
			w.until("both", func() bool { return stop.opened && h.opened == 1 })
			other.Send([]byte("x"))
			p := w.dial(l.Addr().String())
			w.k.Advance(time.Microsecond) // both are there when the loop looks
			w.passes(time.Second)
			parked += l.Stats().Parked
			require.EqualValues(t, 1-l.Stats().Parked, l.Stats().Rejected)
			l.ResumeAccept()
			w.until("a reset", func() bool { return p.Err() != nil })
			require.EqualValues(t, 1, l.Stats().Rejected)
			require.Zero(t, l.Stats().Parked)
			require.Equal(t, 1, h.opened)
			require.NoError(t, first.Err())
			w.end()
		}
		require.Positive(t, parked)
	})
}

// TestParkedConnectionsAreReset closes a listener that has accepted what its pause keeps from becoming streams.
func TestParkedConnectionsAreReset(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		parked := 0
		for seed := range uint64(20) {
			w := newWorld(t, completions, simulated.Config{Seed: seed, Latency: time.Nanosecond})
			h := &echo{}
			l, err := w.e.Listen("tcp", "localhost:0", h, nil)
			require.NoError(t, err)
			stop := &hooks{data: func(*session.Stream) { l.PauseAccept() }}
			other := w.peer(stop, nil)
			w.until("OnOpen", stop.isOpen)
			other.Send([]byte("x"))
			p := w.dial(l.Addr().String())
			w.k.Advance(time.Microsecond) // both are there when the loop looks
			w.passes(time.Second)
			parked += l.Stats().Parked
			require.Equal(t, l.Stats().Parked, w.e.Stats().Parked)
			require.NoError(t, l.Close())
			w.until("a reset, or a stream", func() bool { return p.Err() != nil || h.opened == 1 })
			require.Zero(t, l.Stats().Parked)
			require.Zero(t, w.e.Stats().Parked)
			w.end()
		}
		require.Positive(t, parked)
	})
}

// TestListenOnATakenAddress tries for 200 ms, unless it is called in a callback, or the Transport ends meanwhile.
func TestListenOnATakenAddress(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		other, err := w.k.Listen("tcp", "localhost:80")
		require.NoError(t, err)
		listen := func() (took time.Duration, err error) {
			begin := w.k.Now()
			_, err = w.e.Listen("tcp", "localhost:80", &echo{}, nil)
			return w.k.Now() - begin, err
		}
		took, err := listen()
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.GreaterOrEqual(t, took, 200*time.Millisecond)
		require.Less(t, took, 220*time.Millisecond)
		asked := false
		h := &hooks{open: func(*session.Stream) {
			took, err := listen()
			require.ErrorIs(t, err, syscall.EADDRINUSE)
			require.Less(t, took, time.Millisecond)
			asked = true
		}}
		w.peer(h, nil)
		w.until("OnOpen", func() bool { return asked })
		w.k.Clock().AfterFunc(100*time.Millisecond, other.Close)
		took, err = listen()
		require.NoError(t, err)
		require.GreaterOrEqual(t, took, 100*time.Millisecond)
		w.end()
	})
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		_, err := w.k.Listen("tcp", "localhost:80")
		require.NoError(t, err)
		listens := asks(func() error { _, err := w.e.Listen("tcp", "localhost:80", &echo{}, nil); return err })
		synctest.Wait()
		begin := w.k.Now()
		require.NoError(t, w.ask("Close", w.e.Close))
		require.ErrorIs(t, w.answer("Listen", listens), syscall.EADDRINUSE)
		require.Less(t, w.k.Now()-begin, 100*time.Millisecond)
	})
}

// TestListenInShutdown has the Transport shut down in the middle of Listen: nothing is left.
func TestListenInShutdown(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		var down <-chan error
		_, err := w.e.Listen("tcp", "localhost:0", &echo{}, &session.ListenOptions{Control: func(string, string, syscall.RawConn) error {
			down = asks(func() error { return w.e.Shutdown(t.Context()) })
			synctest.Wait()
			return nil
		}})
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, w.answer("Shutdown", down))
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// TestCloseOfAListenerWithABlockedCallback has a callback hold up the loop: Close says so after 5 s, and the address is free
// when the callback returns.
func TestCloseOfAListenerWithABlockedCallback(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		blocks, release := make(chan struct{}), make(chan struct{})
		h := &hooks{open: func(*session.Stream) {
			close(blocks)
			<-release
		}}
		l, err := w.e.Listen("tcp", "localhost:80", h, nil)
		require.NoError(t, err)
		w.dial(l.Addr().String())
		go w.steps("OnOpen", h.isOpen)
		<-blocks
		closed := asks(l.Close)
		synctest.Wait()
		w.k.Advance(4900 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, closed)
		w.k.Advance(200 * time.Millisecond)
		synctest.Wait()
		require.Len(t, closed, 1)
		require.ErrorIs(t, <-closed, os.ErrDeadlineExceeded)
		_, err = w.k.Listen("tcp", "localhost:80")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		close(release)
		synctest.Wait()
		require.NoError(t, w.ask("Close", l.Close))
		_, err = w.k.Listen("tcp", "localhost:80")
		require.NoError(t, err)
		w.endStepped()
	})
}
