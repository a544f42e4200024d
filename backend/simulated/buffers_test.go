package simulated_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestBuffersAreHandedOn has what comes taken and written to the same stream, without a byte changed.
func TestBuffersAreHandedOn(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for seed := range uint64(10) {
			w := newWorld(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()})
			taken := 0
			h := &hooks{data: func(s *session.Stream) {
				taken++
				_, err := s.Take(s.Buffered() + 1)
				require.ErrorIs(t, err, io.ErrShortBuffer)
				first, err := s.Take(s.Buffered() / 2)
				require.NoError(t, err)
				rest, err := s.Take(-1)
				require.NoError(t, err)
				require.NoError(t, s.WriteBuffer(first))
				require.NoError(t, s.WriteBuffer(rest))
				require.ErrorIs(t, s.WriteBuffer(rest), net.ErrClosed) // it is the stream's
				none, err := s.Take(0)
				require.NoError(t, err)
				require.NoError(t, s.WriteBuffer(none))
			}}
			message := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
			p := w.peer(h, nil)
			p.Send(message)
			p.Finish()
			w.until("the end", func() bool { return p.EOF() && h.over() })
			require.True(t, bytes.Equal(message, p.Received()))
			require.Positive(t, taken)
			w.until("buffers", func() bool { return w.e.Stats().BuffersTaken == 0 })
			w.end()
		}
	})
}

// TestBufferOutlivesItsStream has a Buffer kept and released after the end.
func TestBufferOutlivesItsStream(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		var b *session.Buffer
		h := &hooks{data: func(s *session.Stream) {
			if s.Buffered() == 5000 {
				b, _ = s.Take(-1)
			}
		}}
		p := w.peer(h, nil)
		p.Send(bytes.Repeat([]byte("x"), 5000))
		w.until("bytes", func() bool { return b != nil })
		p.Reset()
		w.until("the end", h.over)
		require.Equal(t, strings.Repeat("x", 5000), string(b.Bytes()))
		require.ErrorIs(t, h.s.WriteBuffer(b), net.ErrClosed)
		require.Len(t, b.Bytes(), 5000) // it is still the caller's
		b.Release()
		b.Release()
		require.Nil(t, b.Bytes())
		_, err := h.s.Take(-1)
		require.NoError(t, err) // nothing, of nothing
		_, err = h.s.Take(1)
		require.ErrorIs(t, err, net.ErrClosed)
		w.end()
	})
}

// failing is a writer that takes n bytes a time.
type failing struct {
	n   int
	err error
}

func (f failing) Write(p []byte) (int, error) { return min(f.n, len(p)+1), f.err }

func TestReads(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		h := &hooks{}
		p := w.peer(h, &session.ListenOptions{StreamOptions: session.StreamOptions{AllowHalfClose: true}})
		w.until("OnOpen", h.isOpen)
		s := h.s
		_, err := s.Read(make([]byte, 1))
		require.ErrorIs(t, err, session.ErrWouldBlock)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		n, err := s.WriteTo(io.Discard)
		require.NoError(t, err)
		require.Zero(t, n)
		p.Send([]byte("0123456789"))
		w.until("bytes", func() bool { return s.Buffered() == 10 })
		b, err := s.Peek(20)
		require.ErrorIs(t, err, io.ErrShortBuffer)
		require.Equal(t, "0123456789", string(b))
		k, err := s.Discard(1)
		require.NoError(t, err)
		require.Equal(t, 1, k)
		n, err = s.WriteTo(failing{n: 2})
		require.ErrorIs(t, err, io.ErrShortWrite)
		require.EqualValues(t, 2, n)
		cause := errors.New("cause")
		n, err = s.WriteTo(failing{n: 2, err: cause})
		require.ErrorIs(t, err, cause)
		require.EqualValues(t, 2, n)
		n, err = s.WriteTo(failing{n: 100})
		require.ErrorIs(t, err, io.ErrShortWrite) // it claims more than there was
		require.Zero(t, n)
		b, err = s.Next(-1)
		require.NoError(t, err)
		require.Equal(t, "56789", string(b))
		p.Finish()
		w.until("EOF", func() bool { _, err = s.Read(make([]byte, 1)); return err == io.EOF })
		_ = s.Close()
		w.until("the end", h.over)
		_, err = s.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		w.end()
	})
}

// TestWritesOfOthers has another goroutine than the loop's write in every way: the bytes come in order.
func TestWritesOfOthers(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{SendBuffer: 1000, ReceiveBuffer: 1000})
		s, want := h.s, ""
		told := 0
		for _, size := range []int{10, 900, 5000, 20} { // also beyond what the kernel takes
			text := strings.Repeat("a", size)
			_, err := s.Write([]byte(text))
			require.NoError(t, err)
			_, err = s.Writev(net.Buffers{[]byte("b"), nil, []byte("c")})
			require.NoError(t, err)
			require.NoError(t, s.WriteNotify([]byte("d"), func(err error) { require.NoError(t, err); told++ }))
			require.NoError(t, s.Flush())
			want += text + "bcd"
			w.steps("what was written", func() bool { return p.Count() == len(want) })
			n, err := s.Writev(net.Buffers{[]byte(text), []byte("e")})
			require.NoError(t, err)
			require.EqualValues(t, size+1, n)
			want += text + "e"
			w.steps("a vector", func() bool { return p.Count() == len(want) && s.Queued() == 0 })
			k, err := session.WritePart(s, []byte(text))
			require.NoError(t, err)
			require.Equal(t, size, k)
			want += text
			w.steps("a part", func() bool { return p.Count() == len(want) && s.Queued() == 0 })
		}
		require.Equal(t, want, string(p.Received()))
		require.Equal(t, 4, told)
		require.Error(t, s.WriteNotify(nil, nil))
		require.Error(t, s.Post(nil))
		require.EqualValues(t, len(want), s.Stats().BytesSent)
		require.Positive(t, w.e.Stats().DirectWrites)
		testRefusedWrites(t, w, h)
	})
}

// testRefusedWrites has every way to write fail after the end.
func testRefusedWrites(t *testing.T, w *world, h *hooks) {
	s := h.s
	require.NoError(t, s.Close())
	w.steps("the end", h.over)
	_, err := s.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = s.Writev(net.Buffers{[]byte("x")})
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = session.WritePart(s, []byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, s.WriteNotify([]byte("x"), func(error) { t.Error("it was told") }), net.ErrClosed)
	require.ErrorIs(t, s.Flush(), net.ErrClosed)
	require.ErrorIs(t, s.CloseWrite(), net.ErrClosed)
	require.ErrorIs(t, s.Post(func() {}), net.ErrClosed)
	_, err = s.SyscallConn()
	require.ErrorIs(t, err, net.ErrClosed)
	w.endStepped()
}

// TestWriteToAPeerThatHasReset has the write itself learn of that.
func TestWriteToAPeerThatHasReset(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{})
		h.s.PauseRead()
		p.Reset()
		w.k.Advance(10_000_000)
		_, err := h.s.Write([]byte("x"))
		require.NoError(t, err)
		w.steps("the end", h.over)
		var failure *net.OpError
		require.ErrorAs(t, h.err, &failure)
		w.endStepped()
	})
}
