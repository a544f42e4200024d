package backendtest

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// stage is where one trial after another takes place: a listener, and streams that come from it.
type stage struct {
	e       *Env
	t       *session.Engine
	all     *trials
	addr    net.Addr
	plain   net.Listener // of the peers, if the streams under test dial
	current atomic.Pointer[trial]
}

// peersWindow keeps what a peer takes without reading small, in bytes.
const peersWindow = 64 << 10

func newStage(e *Env, t *session.Engine, all *trials) *stage {
	e.Helper()
	st := &stage{e: e, t: t, all: all}
	if e.Dialled {
		listening := net.ListenConfig{Control: smallWindow}
		l, err := listening.Listen(context.Background(), e.Network, e.Address())
		require.NoError(e, err, "listen")
		e.Cleanup(func() { _ = l.Close() })
		st.plain, st.addr = l, l.Addr()
		return st
	}
	l, err := t.Listen(e.Network, e.Address(), &trialHandler{stage: st}, &session.ListenOptions{StreamOptions: st.options()})
	require.NoError(e, err, "listen")
	e.Cleanup(func() { _ = l.Close() })
	st.addr = l.Addr()
	return st
}

// smallWindow is for a net.Dialer or net.ListenConfig.
func smallWindow(_, _ string, c syscall.RawConn) error {
	var err error
	return errorsFirst(c.Control(func(fd uintptr) {
		err = setSocketOption(syscall.SetsockoptInt, fd, syscall.SO_RCVBUF, peersWindow)
	}), &err)
}

func errorsFirst(err error, next *error) error {
	if err != nil {
		return err
	}
	return *next
}

// options are those of the trials' streams.
func (*stage) options() session.StreamOptions {
	return session.StreamOptions{HighWater: 16 << 10, CloseTimeout: patience}
}

// connect begins the trial's stream, and returns its peer. There is none if the stream was reset too early for that.
func (st *stage) connect(x *trial) (Peer, error) {
	st.current.Store(x)
	if st.plain == nil {
		return st.connectPeer()
	}
	_, err := st.t.Connect(st.addr.Network(), st.addr.String(), &trialHandler{x: x}, &session.DialOptions{StreamOptions: st.options()})
	if err != nil {
		return nil, err
	}
	if l, ok := st.plain.(interface{ SetDeadline(time.Time) error }); ok {
		_ = l.SetDeadline(time.Now().Add(patience))
	}
	for {
		c, err := st.plain.Accept()
		switch {
		case err == nil:
			return plainPeer{c.(halfCloser)}, nil
		case !x.full || !errors.Is(err, syscall.EMFILE): // which it may get while Detach is called
			return nil, err
		}
	}
}

func (st *stage) connectPeer() (Peer, error) {
	if st.e.peers != nil {
		p, err := dialPeer(st.e.peers, st.addr, backend.ReceiveBuffer(peersWindow))
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	d := net.Dialer{Timeout: patience, Control: smallWindow}
	c, err := d.Dial(st.addr.Network(), st.addr.String())
	if err != nil {
		return nil, err
	}
	return plainPeer{c.(halfCloser)}, nil
}

// trials are all trials of a rule. It has the memory that they have taken out of streams, which must not change while
// others receive.
type trials struct {
	e        *Env
	problems atomic.Int32 // that were reported
	mu       sync.Mutex   // guards taken
	taken    []taken
}

type taken struct {
	by   string
	b    *session.Buffer
	want []byte
}

// add keeps a buffer for a while.
func (a *trials) add(t taken) {
	a.mu.Lock()
	a.taken = append(a.taken, t)
	a.mu.Unlock()
	a.check(40) // a loop of the smallest setup has fewer buffers, and copies if it has none
}

// check looks at what was taken, and releases it, but for the last few.
func (a *trials) check(but int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.taken) > but {
		t := a.taken[0]
		a.taken = a.taken[1:]
		assert.Equal(a.e, string(t.want), string(t.b.Bytes()), "%s: the memory that was taken has changed", t.by)
		t.b.Release()
	}
}
