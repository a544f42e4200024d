package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// whole is a codec with one message, which the end of the stream ends.
type whole struct{}

func (whole) NewDecoder() frame.Decoder[[]byte]         { return whole{} }
func (whole) Append(dst, m []byte) ([]byte, error)      { return append(dst, m...), nil }
func (whole) MaxSize() int                              { return 1 << 20 }
func (whole) Decode([]byte) ([]byte, int, int, error)   { return nil, 0, 1, nil }
func (whole) End(p []byte) (m []byte, ok bool, _ error) { return p, true, nil }

// framed is an actor with a FrameHandler that notes what it is called for.
func framed(t *testing.T, o StreamOptions, codec frame.Codec[[]byte]) (*actor, *FrameHandler[[]byte]) {
	a := newActor(t, o)
	h := Frames(codec, func(s *Stream, m []byte) { a.note(s, "message "+string(m)) })
	h.EOF = a.recorder.OnEOF
	h.Close = a.recorder.OnClose
	return a, h
}

// TestLastMessageOnce has the handler of the message that the end of the stream ends pause, close, or change the handler.
func TestLastMessageOnce(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(a *actor)
		want string
	}{
		"nothing": {func(*actor) {}, "message all, eof, close <nil>"},
		"pause": {func(a *actor) {
			a.s.PauseRead()
			a.s.After(time.Second, a.s.ResumeRead)
		}, "message all, eof, close <nil>"},
		"Close":      {func(a *actor) { _ = a.s.Close() }, "message all, close <nil>"},
		"SetHandler": {func(a *actor) { a.s.SetHandler(a.recorder) }, "message all, eof, close <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			a, h := framed(t, StreamOptions{}, whole{})
			a.then = func(_ *Stream, event string) {
				if event == "message all" {
					c.do(a)
				}
			}
			a.s.SetHandler(h)
			a.f.send("all")
			a.f.eof = true
			a.pass(2 * time.Second)
			assert.Equal(t, closed, a.s.life.phase)
			assert.Equal(t, c.want, a.took())
		})
	}
}

// TestMessageTimeoutEndsWithItsHandler has another handler get a stream in the middle of a message.
func TestMessageTimeoutEndsWithItsHandler(t *testing.T) {
	for name, next := range map[string]func(a *actor) Handler{
		"of bytes": func(a *actor) Handler { return a.recorder },
		"of messages": func(*actor) Handler {
			return Frames[[]byte](frame.Line{}, func(*Stream, []byte) {})
		},
		"the same": func(*actor) Handler { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			a, h := framed(t, StreamOptions{}, frame.Line{})
			h.MessageTimeout = time.Minute
			a.s.SetHandler(h)
			a.f.send("half of a ")
			a.turn()
			a.pass(50 * time.Second)
			require.Equal(t, open, a.s.life.phase)
			if other := next(a); other != nil {
				a.s.SetHandler(other)
				a.pass(5 * time.Minute)
				assert.Equal(t, open, a.s.life.phase)
				require.NoError(t, a.s.Close())
				a.turn()
				return
			}
			a.pass(20 * time.Second)
			assert.Equal(t, "close tandem: a message was not whole within 1m0s: i/o timeout", a.took())
		})
	}
}
