package backendtest

import (
	"bytes"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on streams whose peer has reset. Those on aborts are in ending_abort.go.
var failedRules = []Rule{
	{"S18_WithinTheBudget", resetWithinTheBudget},
	{"S18_LeftUnread", resetLeftUnread},
	{"S18_InTheMiddle", resetInTheMiddle},
	{"S19_OpErrors", opErrors},
}

func nothing(*session.Stream) {}

// held is how many bytes the kernel surely keeps for a stream that does not read.
const held = 96_000

// failing begins a stream whose peer sends and resets while OnOpen is running, so that all of it is with the kernel when
// the stream learns of the reset: by a write, if writes is set.
func (e *Env) failing(t *session.Engine, h *Hooks, o session.StreamOptions, sent []byte, writes bool) {
	e.Helper()
	begun := e.heldUp(t, h, o, nothing, nothing)
	_, err := begun.s.Write([]byte("x")) // as in resettable
	require.NoError(e, err)
	e.writeAll(begun.p, sent)
	time.Sleep(2 * time.Millisecond) // a reset drops what is still on its way
	require.NoError(e, begun.p.Reset())
	if writes {
		time.Sleep(5 * time.Millisecond)
		for range 2 { // the second finds that the connection has failed, at the latest
			_, _ = begun.s.Write([]byte("x"))
		}
	}
	begun.goOn()
}

// learns are the ways in which a stream finds out that it was reset: by a write or not.
var learns = map[string]bool{"found by a read": false, "found by a write": true}

// isBroken reports whether err is that of a connection that the peer has reset.
func isBroken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// resetWithinTheBudget counts what is delivered of a failed stream in each turn.
func resetWithinTheBudget(e *Env) {
	const budget, piece = 8 << 10, 64 << 10
	want := Pattern(held)
	for how, writes := range learns {
		t := e.oneLoop()
		h := NewHooks()
		now, turn, inTurn, most, turns := e.countTurns(t), 0, 0, 0, 0
		h.Data = func(s *session.Stream) {
			if *now != turn {
				turn, inTurn = *now, 0
				turns++
			}
			inTurn += s.Buffered()
			most = max(most, inTurn)
			h.Collect(s)
		}
		e.failing(t, h, session.StreamOptions{TurnBudget: budget}, want, writes)
		err := h.Closed()
		assert.True(e, isBroken(err), "%s: the error of OnClose", how)
		assert.Zero(e, h.Count("OnEOF"), "%s: OnEOF", how)
		h.gotAll(want)
		assert.Less(e, most, budget+piece, "%s: bytes in one turn, with a budget of %d", how, budget)
		assert.GreaterOrEqual(e, turns, 2, "%s: turns", how)
	}
}

// resetLeftUnread has a handler that reads nothing before OnClose. The stream's limit holds at its end, too.
func resetLeftUnread(e *Env) {
	const limit = 20_000
	want := Pattern(held)
	h := NewHooks()
	h.Data = nothing
	h.Close = func(s *session.Stream, _ error) { h.Collect(s) }
	e.failing(e.Under(), h, session.StreamOptions{ReadBufferLimit: limit}, want, true)
	err := h.Closed()
	assert.True(e, isBroken(err), "the error of OnClose")
	got := h.Got()
	assert.GreaterOrEqual(e, len(got), limit, "bytes in OnClose")
	assert.True(e, bytes.Equal(want[:len(got)], got), "bytes differ")
	assert.Zero(e, h.Count("OnEOF"))
}

// heir is the Hooks' second handler.
type heir struct{ *Hooks }

// OnData implements session.Handler.
func (h heir) OnData(s *session.Stream) {
	defer h.enter(s, "OnData of the heir")()
	h.Collect(s)
}

// resetInTheMiddle ends, pauses and hands on streams while what is left of them is being delivered.
func resetInTheMiddle(e *Env) {
	want := Pattern(held)
	for how, writes := range learns {
		for what, do := range map[string]func(*session.Stream, *Hooks){
			"Close":      func(s *session.Stream, _ *Hooks) { _ = s.Close() },
			"Abort":      func(s *session.Stream, _ *Hooks) { _ = s.Abort() },
			"PauseRead":  func(s *session.Stream, _ *Hooks) { s.PauseRead() },
			"SetHandler": func(s *session.Stream, h *Hooks) { s.SetHandler(heir{h}) },
			"panic":      func(*session.Stream, *Hooks) { panic("on purpose") },
		} {
			h := NewHooks()
			calls := 0
			h.Data = func(s *session.Stream) {
				calls++
				p, _ := s.Next(min(s.Buffered(), 50_000))
				h.keep(p)
				if calls == 2 {
					do(s, h)
				}
			}
			h.Close = func(s *session.Stream, _ error) { h.Collect(s) }
			e.failing(e.Under(), h, session.StreamOptions{TurnBudget: 1000}, want, writes)
			err := h.Closed()
			var pe *session.PanicError
			known := isBroken(err) || what == "Abort" && err == net.ErrClosed || what == "Close" && err == nil ||
				what == "panic" && errors.As(err, &pe)
			assert.True(e, known, "%s: OnClose(%v) after %s", how, err, what)
			assert.LessOrEqual(e, calls, 2, "%s: calls of OnData, with %s in the second", how, what)
			got := h.Got()
			assert.True(e, bytes.Equal(want[:len(got)], got), "%s: bytes differ after %s", how, what)
			if what == "SetHandler" {
				assert.Len(e, got, len(want), "%s: bytes that reached both handlers", how)
			}
		}
	}
}

// keep keeps p for Got.
func (h *Hooks) keep(p []byte) {
	h.mu.Lock()
	h.got = append(h.got, p...)
	h.mu.Unlock()
}

// opErrors looks at the errors of connections that fail. They say what failed, and where.
func opErrors(e *Env) {
	check := func(what string, s *session.Stream, err error, ops ...string) {
		e.Helper()
		var op *net.OpError
		require.ErrorAs(e, err, &op, what)
		assert.Contains(e, ops, op.Op, what)
		assert.Equal(e, e.Network, op.Net, what)
		if assert.NotNil(e, op.Source, what) && assert.NotNil(e, op.Addr, what) {
			assert.Equal(e, s.LocalAddr().String(), op.Source.String(), what)
			assert.Equal(e, s.RemoteAddr().String(), op.Addr.String(), what)
		}
		assert.True(e, isBroken(err), "%s: %v", what, err)
	}
	h := NewHooks()
	s, p := e.resettable(e.Under(), h, session.StreamOptions{})
	require.NoError(e, p.Reset())
	check("a read", s, h.Closed(), "read")

	h = NewHooks()
	s, p = e.resettable(e.Under(), h, session.StreamOptions{})
	s.PauseRead()
	_, err := p.Write([]byte("x"))
	require.NoError(e, err)
	require.NoError(e, p.Reset())
	check("a pause", s, h.Closed(), "read")

	for _, inside := range []bool{true, false} {
		h = NewHooks()
		begun := e.heldUp(e.oneLoop(), h, session.StreamOptions{}, nothing, nothing)
		_, err = begun.s.Write([]byte("x"))
		require.NoError(e, err)
		require.NoError(e, begun.p.Reset())
		time.Sleep(2 * time.Millisecond)
		told := make(chan error, 1)
		write := func() {
			if begun.s.WriteNotify([]byte("y"), func(err error) { told <- err }) != nil {
				told <- nil
			}
		}
		if inside {
			require.NoError(e, begun.s.Post(write))
		} else {
			write()
		}
		begun.goOn()
		check("a write", begun.s, h.Closed(), "read", "write")
		if err := arrives(e, told); err != nil {
			check("a notification", begun.s, err, "read", "write")
		}
	}
}
