package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// skipping is a codec of messages of at most 9 bytes that drops larger ones.
var skipping = frame.Varint{MaxPayload: 9, SkipTooLarge: true}

// skipper is an actor whose handler notes the messages that were dropped.
func skipper(t *testing.T) (*actor, *FrameHandler[[]byte]) {
	a, h := framed(t, StreamOptions{}, skipping)
	h.Skipped = func(s *Stream, err *frame.Error) { a.note(s, fmt.Sprintf("skipped at %d", err.Offset)) }
	a.s.SetHandler(h)
	return a, h
}

// TestSkippedInOrder drops a message between two others, however they come.
func TestSkippedInOrder(t *testing.T) {
	const stream = "\x03one\x0anot at all\x0cnor this one\x03two"
	const want = "message one, skipped at 4, skipped at 15, message two"
	for _, pieces := range [][]string{
		{stream}, {stream[:4], stream[4:]}, {stream[:8], stream[8:20], stream[20:]}, strings.Split(stream, ""),
	} {
		a, _ := skipper(t)
		for _, p := range pieces {
			a.f.send(p)
			a.turn()
		}
		assert.Equal(t, want, a.took(), "%q", pieces)
		assert.Equal(t, open, a.s.life.phase)
	}
}

// TestSkippedTakesNoMemory drops a message of which much comes.
func TestSkippedTakesNoMemory(t *testing.T) {
	a, _ := skipper(t)
	a.f.send("\xc0\x84\x3d") // 1,000,000
	for range 1000 {
		a.f.send(strings.Repeat("x", 1000))
		a.turn()
		require.Zero(t, a.s.Buffered())
	}
	assert.Equal(t, "skipped at 0", a.took())
	a.f.send("\x02on")
	a.turn()
	assert.Equal(t, "message on", a.took())
}

// TestSkippedMayStop has the handler of a message that was dropped stop the stream.
func TestSkippedMayStop(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(s *Stream)
		want string
	}{
		"pause": {(*Stream).PauseRead, "skipped at 0"},
		"close": {func(s *Stream) { _ = s.Close() }, "skipped at 0, close <nil>"},
		"nil":   {nil, "message on"},
	} {
		t.Run(name, func(t *testing.T) {
			a, h := skipper(t)
			if c.do == nil {
				h.Skipped = nil
			}
			a.then = func(s *Stream, event string) {
				if event == "skipped at 0" && c.do != nil {
					c.do(s)
				}
			}
			a.f.send("\x0a0123456789\x02on")
			a.turn()
			a.turn()
			assert.Equal(t, c.want, a.took())
			if name == "pause" {
				a.s.ResumeRead()
				a.turn()
				assert.Equal(t, "message on", a.took())
			}
		})
	}
}

// TestSkippedInTime has MessageTimeout end a message that is dropped and does not end, and no stream behind one.
func TestSkippedInTime(t *testing.T) {
	a, h := framed(t, StreamOptions{}, skipping)
	h.MessageTimeout = time.Minute
	a.s.SetHandler(h)
	a.f.send("\x0a0123456")
	a.turn()
	a.pass(50 * time.Second)
	a.f.send("789")
	a.turn()
	a.pass(5 * time.Minute)
	require.Equal(t, open, a.s.life.phase, "behind a message that was dropped")
	a.f.send("\x0a0123456")
	a.turn()
	a.pass(70 * time.Second)
	assert.Equal(t, "close tandem: a message was not whole within 1m0s: i/o timeout", a.took())
}

// TestSkippedThenEnd has the peer finish within a message that is dropped.
func TestSkippedThenEnd(t *testing.T) {
	a, _ := skipper(t)
	a.f.send("\x0a01234")
	a.turn()
	a.f.eof = true
	a.turn()
	a.pass(time.Second)
	assert.Equal(t, "close frame: Varint: at byte 6: the peer finished within a frame that is dropped: "+
		"payload of 10 bytes exceeds the limit of 9", a.took())
}

// misguided is a Decoder that skips nothing, for ever.
type misguided struct{ whole }

func (misguided) NewDecoder() frame.Decoder[[]byte] { return misguided{} }
func (misguided) Decode([]byte) ([]byte, int, int, error) {
	return nil, 0, 1, &frame.Error{Codec: "misguided", Skipped: true}
}

func TestSkippingNothing(t *testing.T) {
	b := NewMessageBuffer[[]byte](misguided{})
	b.Add([]byte("a"))
	assert.PanicsWithValue(t, "tandem: session.misguided.Decode consumed 0 of 1 bytes, and needs 1", func() { _, _, _ = b.Next() })
}
