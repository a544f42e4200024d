package simulated_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// TestMessageOutlivesTake has a handler take what is behind its message, which is in the same memory: the message stays as it
// is until the handler returns, whatever becomes of that memory.
func TestMessageOutlivesTake(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		first, second := strings.Repeat("a", 5000), strings.Repeat("b", 5000)
		seen := 0
		h := session.Frames(frame.Varint{}, func(s *session.Stream, m []byte) {
			b, err := s.Take(-1)
			require.NoError(t, err)
			require.Greater(t, len(b.Bytes()), 2<<10) // less is copied
			b.Release()
			for i := range 20 { // who uses that memory next
				other := session.Memory(s).Get(4 << 10 << (i % 5))
				clear(other)
				defer session.Memory(s).Put(other)
			}
			require.Equal(t, first, string(m))
			seen++
			s.SetHandler(&silent{})
		})
		h.Open = func(s *session.Stream) {
			s.PauseRead()
			s.After(time.Second, s.ResumeRead) // so that both are there, in memory of the stream's own
		}
		var wire []byte
		var err error
		for _, m := range []string{first, second} {
			wire, err = frame.Varint{}.Append(wire, []byte(m))
			require.NoError(t, err)
		}
		w.peer(h, nil).Send(wire)
		w.until("a message", func() bool { return seen == 1 })
		w.until("the buffer's end", func() bool { return w.e.Stats().BuffersTaken == 0 })
		w.end()
	})
}

// TestLargeMessage has a message be larger than what a pool keeps.
func TestLargeMessage(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		message := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
		seen := 0
		h := session.Frames(frame.Varint{MaxPayload: 4 << 20}, func(_ *session.Stream, m []byte) {
			require.True(t, bytes.Equal(message, m))
			seen++
		})
		p := w.peer(h, nil)
		wire, err := frame.Varint{MaxPayload: 4 << 20}.Append(nil, message)
		require.NoError(t, err)
		p.Send(wire)
		p.Send(wire)
		w.until("both", func() bool { return seen == 2 })
		w.end()
	})
}

// TestFrameHooks has the functions of a FrameHandler called: with room in the queue, and at Shutdown; and the last message be
// one that the end of the stream ends.
func TestFrameHooks(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, small)
		var got []string
		opened, writable, drained, s := 0, 0, 0, (*session.Stream)(nil)
		h := session.Frames(frame.Line{}, func(_ *session.Stream, m []byte) { got = append(got, string(m)) })
		h.Open = func(own *session.Stream) { s = own; opened++ }
		h.Writable = func(*session.Stream) { writable++ }
		h.Drain = func(s *session.Stream) {
			drained++
			_, _ = s.Write([]byte("bye"))
			_ = s.Close()
		}
		address := w.serve(h, nil)
		p := w.dial(address)
		p.Send([]byte("one\ntwo"))
		p.Finish()
		w.until("the end", p.EOF)
		require.Equal(t, []string{"one", "two"}, got)
		p = w.dial(address)
		w.until("OnOpen", func() bool { return opened == 2 })
		p.Stop(true)
		_, err := s.Write(make([]byte, 200_000))
		require.NoError(t, err)
		w.passes(time.Second)
		require.Zero(t, writable)
		p.Stop(false)
		w.until("room", func() bool { return s.Queued() == 0 })
		require.Equal(t, 1, writable)
		other := w.peer(session.Frames(frame.Line{}, func(*session.Stream, []byte) {}), nil)
		w.passes(time.Second)
		ctx, cancel := w.k.Clock().WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, w.e.Shutdown(ctx))
		require.Equal(t, 1, drained)
		w.k.Advance(time.Second)
		require.True(t, bytes.HasSuffix(p.Received(), []byte("bye")))
		require.True(t, p.EOF())
		require.True(t, other.EOF()) // without Drain it was closed
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// prompting is a codec whose peer waits for a word before it sends the rest of a message.
type prompting struct{ frame.Line }

type promptingDecoder struct {
	frame.Decoder[[]byte]
	asked bool
}

func (c prompting) NewDecoder() frame.Decoder[[]byte] {
	return &promptingDecoder{Decoder: c.Line.NewDecoder()}
}

func (d *promptingDecoder) Prompt() []byte {
	if d.asked {
		return nil
	}
	d.asked = true
	return []byte("go on")
}

// TestPrompt has a peer wait in the middle of a message for the word of the codec.
func TestPrompt(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		var got []string
		p := w.peer(session.Frames(prompting{}, func(_ *session.Stream, m []byte) { got = append(got, string(m)) }), nil)
		p.Send([]byte("one, "))
		w.until("a word", func() bool { return string(p.Received()) == "go on" })
		require.Empty(t, got)
		p.Send([]byte("two"))
		w.passes(time.Second)
		p.Send([]byte("\n"))
		w.until("a message", func() bool { return len(got) == 1 })
		require.Equal(t, "one, two", got[0])
		require.Equal(t, "go on", string(p.Received())) // it was said once
		w.end()
	})
}

// TestBothHandlersHaveTheirTimeout has a handler pass what comes on to one FrameHandler and then to another: the time of the
// first message is not that of the second.
func TestBothHandlersHaveTheirTimeout(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		nothing := func(*session.Stream, []byte) {}
		one, two := session.Frames(frame.Varint{}, nothing), session.Frames(frame.Varint{}, nothing)
		one.MessageTimeout = time.Second
		to := session.Handler(one)
		h := &hooks{data: func(s *session.Stream) { to.OnData(s) }}
		p := w.peer(h, nil)
		p.Send([]byte{5, 'a'})
		w.until("the half", func() bool { return w.e.Stats().BytesIn == 2 })
		w.passes(500 * time.Millisecond)
		to = two // without a limit
		p.Send([]byte{'b'})
		w.passes(time.Minute)
		require.False(t, h.over())
		w.end()
	})
}
