package simulated_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// messages are n messages of different lengths, as a peer sends them.
func messages(t testing.TB, n int) (all []string, wire []byte) {
	for i := range n {
		m := strings.Repeat(string(rune('a'+i%26)), i*i%700)
		var err error
		wire, err = frame.Varint{}.Append(wire, []byte(m))
		require.NoError(t, err)
		all = append(all, m)
	}
	return all, wire
}

// TestMessagesCutAnywhere has the kernel and the peer cut messages at any place.
func TestMessagesCutAnywhere(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		want, wire := messages(t, 40)
		for seed := range uint64(20) {
			w := newWorld(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()})
			var got []string
			h := session.Frames(frame.Varint{}, func(s *session.Stream, m []byte) {
				got = append(got, string(m))
				require.NoError(t, session.WriteFrame(s, frame.Varint{}, m))
			})
			opened, ended := 0, false
			h.Open = func(*session.Stream) { opened++ }
			h.EOF = func(*session.Stream) { require.Len(t, got, len(want)) }
			h.Close = func(_ *session.Stream, err error) { ended = err == nil }
			p := w.peer(h, nil)
			for i := 0; i < len(wire); {
				n := min(1+(i*7+int(seed))%900, len(wire)-i)
				p.Send(wire[i : i+n])
				i += n
				_, err := w.e.Poll(0)
				require.NoError(t, err)
			}
			p.Finish()
			w.until("the end", func() bool { return p.EOF() && ended })
			require.Equal(t, want, got)
			require.Equal(t, wire, p.Received())
			require.Equal(t, 1, opened)
			w.end()
		}
	})
}

// TestMessageBufferCutAnywhere cuts the same bytes into pieces of each length, in memory that is used again.
func TestMessageBufferCutAnywhere(t *testing.T) {
	want, wire := messages(t, 30)
	for size := 1; size < 300; size += 7 {
		b := session.NewMessageBuffer(frame.Varint{})
		memory := make([]byte, size)
		var got []string
		for left := wire; len(left) > 0; {
			n := copy(memory, left)
			left = left[n:]
			b.Add(memory[:n])
			for {
				m, ok, err := b.Next()
				require.NoError(t, err)
				if !ok {
					break
				}
				got = append(got, string(m))
			}
			b.Keep()
			clear(memory)
		}
		require.Equal(t, want, got)
		require.Zero(t, b.Len())
		_, ok, err := b.Final()
		require.NoError(t, err)
		require.False(t, ok)
	}
}

func TestMessageBufferEnds(t *testing.T) {
	b := session.NewMessageBuffer(frame.Line{MaxLine: 8})
	b.Add([]byte("one\ntw"))
	m, ok, err := b.Next()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "one", string(m))
	require.Equal(t, "tw", string(b.Bytes()))
	b.Keep()
	b.Add([]byte("o but much too long"))
	_, ok, err = b.Next()
	require.False(t, ok)
	var wrong *frame.Error
	require.ErrorAs(t, err, &wrong)
	require.ErrorIs(t, err, frame.ErrTooLarge)
	require.GreaterOrEqual(t, wrong.Offset, int64(4))
	b.Drop()
	require.Zero(t, b.Len())
	v := session.NewMessageBuffer(frame.Varint{})
	v.Add([]byte{5, 'x'})
	_, ok, err = v.Next()
	require.NoError(t, err)
	require.False(t, ok)
	_, _, err = v.Final()
	require.ErrorAs(t, err, &wrong)
}

// TestInvalidMessage has a peer send what is no message: it gets an answer, and the stream ends with the error.
func TestInvalidMessage(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for _, finish := range []bool{false, true} {
			w := newWorld(t, completions, simulated.Config{})
			var end error
			h := session.Frames(frame.Varint{MaxPayload: 10}, func(*session.Stream, []byte) {})
			h.Invalid = func(s *session.Stream, _ *frame.Error) { _, _ = s.Write([]byte("wrong")) }
			h.Close = func(_ *session.Stream, err error) { end = err }
			p := w.peer(h, nil)
			p.Send([]byte{1, 'a'})
			if finish {
				p.Send([]byte{5, 'b'})
				p.Finish()
			} else {
				p.Send([]byte{100})
			}
			w.until("the end", func() bool { return end != nil && p.EOF() })
			var wrong *frame.Error
			require.ErrorAs(t, end, &wrong)
			require.GreaterOrEqual(t, wrong.Offset, int64(2))
			require.Equal(t, "wrong", string(p.Received()))
			w.end()
		}
	})
}

// TestMessageTimeout has peers that begin a message and do not end it in time, or do so just in time.
func TestMessageTimeout(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		var got []string
		var end error
		h := session.Frames(frame.Varint{}, func(_ *session.Stream, m []byte) { got = append(got, string(m)) })
		h.MessageTimeout = time.Second
		h.Close = func(_ *session.Stream, err error) { end = err }
		p := w.peer(h, nil)
		pass := func(d time.Duration) {
			for until := w.k.Now() + d; w.k.Now() < until; {
				_, err := w.e.Poll(10 * time.Millisecond)
				require.NoError(t, err)
			}
		}
		for range 3 {
			p.Send([]byte{2, 'a'})
			pass(900 * time.Millisecond)
			p.Send([]byte{'b'})
			pass(2 * time.Second)
		}
		require.Equal(t, []string{"ab", "ab", "ab"}, got)
		require.NoError(t, end)
		p.Send([]byte{2, 'a'})
		begin := w.k.Now()
		w.until("the end", func() bool { return end != nil })
		require.ErrorIs(t, end, os.ErrDeadlineExceeded)
		require.Less(t, w.k.Now()-begin, 3*time.Second)
		require.Len(t, got, 3)
		w.end()
	})
}

// TestMessageTimeoutWaitsForItsOwnStream has the stream pause in the middle of a message, and the loop held up: neither is
// the peer's fault.
func TestMessageTimeoutWaitsForItsOwnStream(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		var s *session.Stream
		var got []string
		var end error
		h := session.Frames(frame.Varint{}, func(_ *session.Stream, m []byte) { got = append(got, string(m)) })
		h.MessageTimeout = time.Second
		h.Open = func(own *session.Stream) { s = own }
		h.Close = func(_ *session.Stream, err error) { end = err }
		p := w.peer(h, nil)
		p.Send([]byte{2, 'a'})
		w.until("the half", func() bool { return s != nil && s.Buffered() == 2 })
		s.PauseRead()
		resumed := false
		s.After(5*time.Second, func() { s.ResumeRead(); resumed = true })
		w.until("ResumeRead", func() bool { return resumed })
		w.k.Spend(1500 * time.Millisecond)
		_, err := w.e.Poll(0)
		require.NoError(t, err)
		require.NoError(t, end)
		p.Send([]byte{'b'})
		w.until("the message", func() bool { return len(got) == 1 })
		require.Equal(t, "ab", got[0])
		require.NoError(t, end)
		w.end()
	})
}

// strange is a codec with errors of its own, whose lengths may exceed its MaxSize.
type strange struct{ need int }

var errStrange = errors.New("strange")

func (c strange) NewDecoder() frame.Decoder[[]byte]     { return c }
func (strange) Append([]byte, []byte) ([]byte, error)   { return nil, errStrange }
func (strange) MaxSize() int                            { return 100 }
func (strange) End([]byte) (m []byte, ok bool, _ error) { return nil, false, nil }

func (c strange) Decode([]byte) (m []byte, n, need int, err error) {
	if c.need == 0 {
		return nil, 0, 0, errStrange
	}
	return nil, 0, c.need, nil
}

func TestStrangeCodecs(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for _, c := range []strange{{0}, {101}, {-1}} {
			w := newWorld(t, completions, simulated.Config{})
			var end error
			h := session.Frames(c, func(*session.Stream, []byte) {})
			h.Open = func(s *session.Stream) { require.ErrorIs(t, session.WriteFrame(s, c, nil), errStrange) }
			h.Close = func(_ *session.Stream, err error) { end = err }
			w.peer(h, nil).Send([]byte("x"))
			w.until("the end", func() bool { return end != nil })
			var wrong *frame.Error
			var failure *session.PanicError
			switch c.need {
			case 0:
				require.ErrorAs(t, end, &wrong)
				require.ErrorIs(t, end, errStrange)
			case 101:
				require.ErrorIs(t, end, frame.ErrTooLarge)
			default:
				require.ErrorAs(t, end, &failure)
				require.Contains(t, failure.Error(), fmt.Sprintf("needs %d", c.need))
			}
			w.end()
		}
	})
}

func TestFramesAreChecked(t *testing.T) {
	w := newWorld(t, false, simulated.Config{})
	nothing := func(*session.Stream, []byte) {}
	late := session.Frames(frame.Varint{}, nothing)
	late.MessageTimeout = -1
	var none *session.FrameHandler[[]byte]
	for _, h := range []session.Handler{none, late, session.Frames[[]byte](nil, nothing), session.Frames[[]byte](frame.Varint{}, nil), nil} {
		_, err := w.e.Listen("tcp", "localhost:0", h, nil)
		require.Error(t, err)
		_, err = w.e.Connect("tcp", "127.0.0.1:1", h, nil)
		require.Error(t, err)
	}
	w.end()
}

// TestSetHandlerInTheMiddle has a message change the handler, which gets the bytes behind it.
func TestSetHandlerInTheMiddle(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		var got string
		next := &hooks{data: func(s *session.Stream) {
			p, _ := s.Next(-1)
			got += string(p)
		}}
		h := session.Frames(frame.Varint{}, func(s *session.Stream, m []byte) {
			require.Equal(t, "ab", string(m))
			require.Panics(t, func() { s.SetHandler(nil) })
			s.SetHandler(next)
		})
		h.MessageTimeout = time.Second
		p := w.peer(h, nil)
		p.Send([]byte("\x02a"))
		w.until("the half", func() bool { return w.e.Stats().BytesIn == 2 })
		p.Send([]byte("brest"))
		w.until("the rest", func() bool { return got == "rest" })
		p.Close()
		w.until("the end", next.over)
		w.end()
	})
}
