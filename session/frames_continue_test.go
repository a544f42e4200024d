package session

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// laborious is framed with lines that take four turns each.
func laborious(t *testing.T) (*actor, *FrameHandler[[]byte], *[]uint64) {
	a, h := framed(t, StreamOptions{}, frame.Line{})
	left, turns := 0, new([]uint64)
	message := h.Message
	h.Message = func(s *Stream, m []byte) {
		message(s, m)
		left = 3
		h.Later(s)
	}
	h.Continue = func(s *Stream) {
		*turns = append(*turns, s.loop.Turn())
		a.note(s, "goes on")
		if left--; left > 0 {
			h.Later(s)
		}
	}
	a.s.SetHandler(h)
	return a, h, turns
}

// TestContinue has messages take several turns each. Nothing comes in between, whatever is there already.
func TestContinue(t *testing.T) {
	a, _, turns := laborious(t)
	a.f.send("one\ntwo\n")
	a.f.eof = true
	a.pass(time.Second)
	require.Equal(t, "message one, goes on, goes on, goes on, message two, goes on, goes on, goes on, eof, close <nil>", a.took())
	for i, turn := range *turns {
		require.True(t, i == 0 || turn > (*turns)[i-1], "turns %v", *turns)
	}
}

// TestContinueAndAnEnd has the stream stop, go on or end while a message is at work.
func TestContinueAndAnEnd(t *testing.T) {
	const all = "message one, goes on, goes on, goes on"
	for name, c := range map[string]struct {
		do   func(a *actor)
		want string
	}{
		"Close": {func(a *actor) { _ = a.s.Close() }, "message one, close <nil>"},
		"Abort": {func(a *actor) { _ = a.s.Abort() }, "message one, close use of closed network connection"},
		"pause": {func(a *actor) {
			a.s.PauseRead()
			a.s.After(time.Second, func() {
				a.note(a.s, "resume")
				a.s.ResumeRead()
			})
		}, "message one, resume, goes on, goes on, goes on"},
		"SetHandler": {func(a *actor) { a.s.SetHandler(a.recorder) }, "message one"},
		"a reset":    {func(a *actor) { a.f.failure = syscall.ECONNRESET }, all + ", " + failed("read")},
		"more":       {func(a *actor) { a.f.send("two\n") }, all + ", message two, goes on, goes on, goes on"},
		"a panic": {func(a *actor) {
			a.then = func(*Stream, string) {
				a.then = nil
				panic("no")
			}
		}, "message one, goes on, close panic in a callback: no"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _, _ := laborious(t)
			a.then = func(*Stream, string) {
				a.then = nil
				c.do(a)
			}
			a.f.send("one\n")
			a.pass(2 * time.Second)
			assert.Equal(t, c.want, a.took())
		})
	}
	a, h, _ := laborious(t)
	h.Continue = nil
	assert.Panics(t, func() { h.Later(a.s) })
}
