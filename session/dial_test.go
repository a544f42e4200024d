package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// caller is a dial on a stage.
type caller struct {
	*stage
	*recorder
	s    *Stream
	made []*fakeSocket // sockets, in their order
}

func newCaller(t *testing.T) *caller {
	c := &caller{stage: newStage(t, 1), recorder: &recorder{}}
	c.onSocket = func(f *fakeSocket) { c.made = append(c.made, f) }
	return c
}

func (c *caller) connect(o *DialOptions) {
	c.Helper()
	s, err := c.engine.Connect("tcp", "192.0.2.1:1", c.recorder, o)
	require.NoError(c, err)
	c.s = s
	assert.Nil(c, s.LocalAddr())
	c.turn()
}

// gone checks that nothing of the dial is left.
func (c *caller) gone() {
	c.Helper()
	c.turn()
	assert.Equal(c, closed, c.s.life.phase)
	for i, f := range c.made {
		assert.True(c, f.closed, "socket %d is open", i)
	}
	l := c.engine.loops[0]
	assert.Zero(c, l.refs, "the loop is held")
	assert.Empty(c, l.dialing)
	assert.Zero(c, l.load.Load())
}

func TestDialSucceeds(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("at once=%v", atOnce), func(t *testing.T) {
			c := newCaller(t)
			if atOnce {
				c.onSocket = func(f *fakeSocket) { c.made = append(c.made, f); f.answer = nil }
			}
			c.connect(&DialOptions{Timeout: time.Minute})
			if !atOnce {
				require.Equal(t, dialing, c.s.life.phase)
				_, err := c.s.Write([]byte("early"))
				require.NoError(t, err)
				c.made[0].answer = nil
				c.turn()
				assert.Equal(t, "early", c.made[0].got())
			}
			require.Equal(t, "open", c.took())
			require.Equal(t, open, c.s.life.phase)
			assert.Equal(t, "192.0.2.1:1", c.s.RemoteAddr().String())
			c.pass(2 * time.Minute)
			require.Equal(t, open, c.s.life.phase, "the Timeout is over with the dial")
			require.NoError(t, c.s.Close())
			c.gone()
			assert.Equal(t, "close <nil>", c.took())
		})
	}
}

// dialFailed is how OnClose of a dial that failed begins.
const dialFailed = "close dial tcp 192.0.2.1:1: "

func TestDialFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		c := newCaller(t)
		c.connect(nil)
		c.made[0].answer = syscall.ECONNREFUSED
		c.gone()
		assert.Equal(t, dialFailed+"connect: connection refused", c.took())
	})
	t.Run("at once", func(t *testing.T) {
		c := newCaller(t)
		c.onSocket = func(f *fakeSocket) { c.made = append(c.made, f); f.answer = syscall.ENETUNREACH }
		c.connect(nil)
		c.gone()
		assert.Equal(t, dialFailed+"network is unreachable", c.took())
	})
	t.Run("no socket", func(t *testing.T) {
		c := newCaller(t)
		c.refuse = syscall.EMFILE
		c.connect(nil)
		c.gone()
		assert.Equal(t, dialFailed+"too many open files", c.took())
	})
	t.Run("Control", func(t *testing.T) {
		c := newCaller(t)
		c.connect(&DialOptions{Control: func(string, string, syscall.RawConn) error { panic("on purpose") }})
		c.gone()
		assert.Equal(t, dialFailed+"panic in a callback: on purpose", c.took())
	})
	t.Run("Timeout", func(t *testing.T) {
		c := newCaller(t)
		c.connect(&DialOptions{Timeout: time.Minute})
		c.pass(time.Minute - 1)
		require.Equal(t, dialing, c.s.life.phase)
		require.Empty(t, c.took())
		c.pass(time.Second)
		c.gone()
		assert.Equal(t, dialFailed+"i/o timeout", c.took())
	})
	t.Run("Timeout, of which Control takes most", func(t *testing.T) {
		c := newCaller(t)
		c.connect(&DialOptions{Timeout: time.Minute, Control: func(string, string, syscall.RawConn) error {
			c.clock.advance(50 * time.Second)
			return nil
		}})
		c.pass(9 * time.Second)
		require.Equal(t, dialing, c.s.life.phase)
		c.pass(2 * time.Second)
		c.gone()
		assert.Equal(t, dialFailed+"i/o timeout", c.took())
	})
	t.Run("a Timeout that has passed", func(t *testing.T) {
		c := newCaller(t)
		c.connect(&DialOptions{Timeout: -1})
		c.gone()
		assert.Empty(t, c.made)
		assert.Equal(t, dialFailed+"i/o timeout", c.took())
	})
}

func TestDialIsGivenUp(t *testing.T) {
	t.Run("Close", func(t *testing.T) {
		c := newCaller(t)
		c.connect(nil)
		require.NoError(t, c.s.Close())
		require.Equal(t, ending, c.s.life.phase)
		c.made[0].answer = nil // too late
		c.gone()
		assert.Equal(t, "close use of closed network connection", c.took())
	})
	t.Run("Abort elsewhere", func(t *testing.T) {
		c := newCaller(t)
		c.connect(nil)
		elsewhere(func() { assert.NoError(t, c.s.AbortWith(errors.New("on purpose"))) })
		c.gone()
		assert.Equal(t, "close on purpose", c.took())
	})
	t.Run("the loop dies", func(t *testing.T) {
		c := newCaller(t)
		c.connect(nil)
		c.kill(c.engine.loops[0], errors.New("on purpose"))
		assert.Equal(t, closed, c.s.life.phase)
		assert.Equal(t, dialFailed+"loop 0 has ended: on purpose", c.took())
		assert.True(t, c.made[0].closed)
	})
	t.Run("a shutdown", func(t *testing.T) {
		c := newCaller(t)
		c.connect(nil)
		require.NoError(t, c.engine.Close())
		assert.Equal(t, dialFailed+"use of closed network connection", c.took())
		assert.True(t, c.made[0].closed)
		_, err := c.engine.Connect("tcp", "192.0.2.1:1", c.recorder, nil)
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestDialEndsWithItsAttempts has a dial end while an attempt is still the driver's: nothing is left of it when OnClose
// runs, and if the loop dies meanwhile, the dial is found.
func TestDialEndsWithItsAttempts(t *testing.T) {
	t.Run("OnClose comes last", func(t *testing.T) {
		c := newCaller(t)
		c.connect(nil)
		c.then = func(*Stream, string) {
			assert.True(t, c.made[0].closed, "OnClose, and the attempt's descriptor is open")
		}
		require.NoError(t, c.s.Close())
		c.gone()
		assert.Equal(t, "close use of closed network connection", c.took())
	})
	for name, end := range map[string]func(c *caller){
		"the loop dies as it is given up": func(c *caller) { _ = c.s.Abort() },
		"the loop dies as it has won":     func(c *caller) { c.drivers[0].sockets[0].sock.Owner.Connected(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t)
			c.connect(nil)
			end(c)
			c.kill(c.engine.loops[0], errors.New("on purpose"))
			assert.Equal(t, closed, c.s.life.phase)
			assert.Len(t, c.events, 1, "OnClose")
			c.gone()
		})
	}
	t.Run("the loop dies before it has let go of the one that lost", func(t *testing.T) {
		c := newCaller(t)
		d := c.race()
		c.serve(d)
		c.pass(attemptDelay)
		c.serve(d)
		require.Len(t, c.made, 2)
		won := c.made[1].sock.Owner.(*attempt)
		won.Connected(nil)
		c.made[1].driver = nil // which lets go of this one first
		won.Released()
		require.Equal(t, "open", c.took())
		c.kill(c.engine.loops[0], errors.New("on purpose"))
		assert.Len(t, c.events, 1, "OnClose")
		c.gone()
	})
}

func TestDialWithoutConnection(t *testing.T) {
	t.Run("options", func(t *testing.T) {
		for _, atOnce := range []bool{false, true} {
			c := newCaller(t)
			c.onSocket = func(f *fakeSocket) {
				c.made = append(c.made, f)
				if atOnce {
					f.answer = nil
				}
			}
			c.refuseOf = syscall.EPERM
			c.connect(&DialOptions{Socket: []backend.SocketOption{backend.QuickAck(true)}})
			c.made[0].answer = nil
			c.gone()
			assert.Equal(t, dialFailed+"operation not permitted", c.took())
		}
	})
	t.Run("it ends as it is connected", func(t *testing.T) {
		c := newCaller(t)
		c.connect(nil)
		c.made[0].answer = nil
		_, err := c.engine.loops[0].Step(0) // it has won, and the driver lets go of the attempt
		require.NoError(t, err)
		require.Equal(t, dialing, c.s.life.phase)
		elsewhere(func() { assert.NoError(t, c.s.AbortWith(errors.New("on purpose"))) })
		c.gone()
		assert.Equal(t, "close on purpose", c.took())
	})
	t.Run("Attach", func(t *testing.T) {
		c := newCaller(t)
		c.onSocket = func(f *fakeSocket) { c.made = append(c.made, f); c.refuse = syscall.ENOBUFS }
		c.connect(nil)
		c.gone()
		assert.Equal(t, dialFailed+"no buffer space available", c.took())
	})
	t.Run("to itself", func(t *testing.T) {
		c := newCaller(t)
		c.connect(nil)
		c.made[0].local = c.made[0].peer
		c.made[0].answer = nil
		c.gone()
		assert.Equal(t, dialFailed+"connect: connection refused", c.took())
	})
}

// race begins a dial of a name with two addresses, whose look-up is done.
func (c *caller) race() *dial {
	c.Helper()
	d, err := c.engine.newDial("tcp", "name:1", c.recorder, nil)
	require.NoError(c, err)
	_, d.lookup = context.WithCancel(context.Background())
	c.s = d.stream
	require.NoError(c, c.s.loop.begin(d.start))
	c.turn()
	d.resolved([]backend.Address{
		{IP: netip.MustParseAddrPort("192.0.2.1:1"), Kind: backend.TCPAddress},
		{IP: netip.MustParseAddrPort("192.0.2.2:1"), Kind: backend.TCPAddress},
	}, nil)
	c.Cleanup(c.engine.dials.Done)
	return d
}

// serve makes the socket that the race asks for.
func (c *caller) serve(d *dial) {
	c.Helper()
	select {
	case addr := <-d.wanted:
		d.socketMade(d.makeSocket(context.Background(), addr))
	default:
		require.Fail(c, "no socket is asked for")
	}
	c.turn()
}

func TestDialRaces(t *testing.T) {
	t.Run("the second wins", func(t *testing.T) {
		c := newCaller(t)
		d := c.race()
		c.serve(d)
		c.pass(attemptDelay - 1)
		require.Len(t, c.made, 1)
		c.pass(time.Millisecond)
		c.serve(d)
		require.Len(t, c.made, 2)
		c.made[1].answer = nil
		c.turn()
		assert.Equal(t, "open", c.took())
		assert.Equal(t, "192.0.2.2:1", c.s.RemoteAddr().String())
		assert.True(t, c.made[0].closed, "the loser is open")
		require.NoError(t, c.s.Close())
		c.gone()
	})
	t.Run("both fail", func(t *testing.T) {
		c := newCaller(t)
		d := c.race()
		c.serve(d)
		c.made[0].answer = syscall.ECONNREFUSED
		c.turn()
		c.serve(d) // at once
		c.made[1].answer = syscall.ETIMEDOUT
		c.gone()
		assert.Equal(t, "close dial tcp 192.0.2.1:1: connect: connection refused", c.took(), "the error of the first")
	})
	t.Run("it ends while a socket is made", func(t *testing.T) {
		c := newCaller(t)
		d := c.race()
		require.NoError(t, c.s.Close())
		c.turn()
		c.serve(d)
		c.gone()
	})
	t.Run("the look-up fails", func(t *testing.T) {
		c := newCaller(t)
		d, err := c.engine.newDial("tcp", "name:1", c.recorder, nil)
		require.NoError(t, err)
		_, d.lookup = context.WithCancel(context.Background())
		c.s = d.stream
		require.NoError(t, c.s.loop.begin(d.start))
		c.turn()
		d.resolved(nil, errors.New("no such name"))
		c.gone()
		assert.Equal(t, "close dial tcp: no such name", c.took())
		c.engine.dials.Done()
	})
}

// TestDialTakesFamiliesInTurn has the order of RFC 8305, section 4: the family of the first address, then the other.
func TestDialTakesFamiliesInTurn(t *testing.T) {
	for in, want := range map[string]string{
		"::1 ::2 ::3 10.0.0.1 10.0.0.2": "::1 10.0.0.1 ::2 10.0.0.2 ::3",
		"10.0.0.1 ::1 ::2":              "10.0.0.1 ::1 ::2",
		"10.0.0.1 10.0.0.2 10.0.0.3":    "10.0.0.1 10.0.0.2 10.0.0.3",
		"::ffff:10.0.0.1 10.0.0.2 ::1":  "10.0.0.1 ::1 10.0.0.2",
	} {
		var ips []netip.Addr
		for _, s := range strings.Fields(in) {
			ips = append(ips, netip.MustParseAddr(s))
		}
		all, err := (&target{network: "tcp"}).addresses(ips, "host", 1)
		require.NoError(t, err)
		var got []string
		for _, a := range all {
			got = append(got, a.IP.Addr().String())
		}
		assert.Equal(t, want, strings.Join(got, " "))
	}
}

// TestDialWaits has Dial, which waits, on an engine with a loop of its own.
func TestDialWaits(t *testing.T) {
	open := func(t *testing.T) (*Engine, *fakeKernel, *fakeClock) {
		k, clock := &fakeKernel{}, newFakeClock()
		d := &sleeper{fakeDriver: &fakeDriver{fakeKernel: k}, woken: make(chan struct{}, 1)}
		e, err := New(Config{Drivers: []backend.Driver{d}, Clock: clock})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, e.Close()) })
		return e, k, clock
	}
	t.Run("success", func(t *testing.T) {
		e, k, _ := open(t)
		k.onSocket = func(f *fakeSocket) { f.answer = nil }
		s, err := e.Dial(context.Background(), "tcp", "192.0.2.1:1", BaseHandler{}, nil)
		require.NoError(t, err)
		assert.Equal(t, "192.0.2.1:1", s.RemoteAddr().String())
	})
	t.Run("failure", func(t *testing.T) {
		e, k, _ := open(t)
		k.onSocket = func(f *fakeSocket) { f.answer = syscall.ECONNREFUSED }
		_, err := e.Dial(context.Background(), "tcp", "192.0.2.1:1", BaseHandler{}, nil)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
	t.Run("Timeout", func(t *testing.T) {
		e, k, clock := open(t)
		k.onSocket = func(*fakeSocket) { go clock.advance(time.Minute) }
		_, err := e.Dial(context.Background(), "tcp", "192.0.2.1:1", BaseHandler{}, &DialOptions{Timeout: time.Minute})
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
	t.Run("cancel", func(t *testing.T) {
		e, k, _ := open(t)
		ctx, cancel := context.WithCancel(context.Background())
		k.onSocket = func(*fakeSocket) { cancel() }
		_, err := e.Dial(ctx, "tcp", "192.0.2.1:1", BaseHandler{}, nil)
		assert.ErrorIs(t, err, context.Canceled)
		_, err = e.Dial(ctx, "tcp", "192.0.2.1:1", BaseHandler{}, nil)
		assert.ErrorIs(t, err, context.Canceled, "before anything began")
		assert.Eventually(t, func() bool { return e.loops[0].load.Load() == 0 }, 5*time.Second, time.Millisecond,
			"the dials have ended, and weigh on their loop")
	})
}

// sleeper is a fakeDriver that sleeps until it is woken, for a loop with a goroutine of its own.
type sleeper struct {
	*fakeDriver
	woken chan struct{}
}

func (d *sleeper) Wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *sleeper) Poll(wait time.Duration) (int, error) {
	n, err := d.fakeDriver.Poll(wait)
	if n == 0 && err == nil && wait != 0 {
		<-d.woken
	}
	return n, err
}
