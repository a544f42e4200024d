package simulated_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestMain has package net look a name up once outside of all bubbles, because it keeps a channel for good.
func TestMain(m *testing.M) {
	_, _ = simulated.New(simulated.Config{}).Resolver().LookupHost(context.Background(), "nobody.test.")
	m.Run()
}

// hooks is a Handler made of functions, which keeps its last stream and how that has ended.
type hooks struct {
	s      *session.Stream
	opened bool
	ended  int
	err    error

	open, data, eof, writable func(*session.Stream)
	close                     func(*session.Stream, error)
}

func call(fn func(*session.Stream), s *session.Stream) {
	if fn != nil {
		fn(s)
	}
}

func (h *hooks) OnOpen(s *session.Stream) {
	h.s, h.opened = s, true
	call(h.open, s)
}

func (h *hooks) OnData(s *session.Stream)     { call(h.data, s) }
func (h *hooks) OnEOF(s *session.Stream)      { call(h.eof, s) }
func (h *hooks) OnWritable(s *session.Stream) { call(h.writable, s) }

func (h *hooks) OnClose(s *session.Stream, err error) {
	h.ended++
	h.err = err
	if h.close != nil {
		h.close(s, err)
	}
}

func (h *hooks) isOpen() bool { return h.opened }
func (h *hooks) over() bool   { return h.ended > 0 }

// serve makes a listener of h, and returns its address.
func (w *world) serve(h session.Handler, o *session.ListenOptions) string {
	l, err := w.e.Listen("tcp", "localhost:0", h, o)
	require.NoError(w.t, err)
	return l.Addr().String()
}

// dial has a peer connect.
func (w *world) dial(address string) *simulated.Peer {
	p, err := w.k.Dial("tcp", address)
	require.NoError(w.t, err)
	return p
}

// peer has a peer connect to a new listener of h.
func (w *world) peer(h session.Handler, o *session.ListenOptions) *simulated.Peer {
	return w.dial(w.serve(h, o))
}

// senders has n peers connect, send a message, and finish.
func (w *world) senders(n int, address string, message []byte) (all []*simulated.Peer) {
	for range n {
		p := w.dial(address)
		p.Send(message)
		p.Finish()
		all = append(all, p)
	}
	return all
}

// end closes a driven engine, of which nothing may be left.
func (w *world) end() {
	require.NoError(w.t, w.e.Close())
	require.Zero(w.t, w.k.OpenDescriptors())
}

// endStepped is end for loops that are stepped.
func (w *world) endStepped() {
	w.beside("Close", func() { require.NoError(w.t, w.e.Close()) })
	require.Zero(w.t, w.k.OpenDescriptors())
}

// bubbles runs a test with both kinds of drivers, each in a bubble.
func bubbles(t *testing.T, run func(t *testing.T, completions bool)) {
	kinds(t, func(t *testing.T, completions bool) {
		synctest.Test(t, func(t *testing.T) { run(t, completions) })
	})
}
