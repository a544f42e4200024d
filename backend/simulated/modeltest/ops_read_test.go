package modeltest

import (
	"errors"
	"io"
	"net"

	"github.com/tandem-io/tandem/session"
)

// peek checks bytes that were lent, and returns how many they are.
func (m *stream) short(what string, n, got int, err error) {
	switch {
	case n < 0 && err != nil, n >= 0 && got == n && err != nil:
		m.failf("%s(%d) has %d bytes: %w", what, n, got, err)
	case n >= 0 && got < n && !errors.Is(err, io.ErrShortBuffer) && !errors.Is(err, net.ErrClosed):
		m.failf("%s(%d) has %d bytes: %w", what, n, got, errOrNil(err))
	case errors.Is(err, net.ErrClosed) && !m.over():
		m.failf("S20: %s: %w, before OnClose", what, err)
	}
}

func (m *stream) opPeek(n int) {
	p, err := m.s.Peek(n)
	m.short("Peek", n, len(p), err)
	copied := m.in
	m.bad(copied.read(p))
}

func (m *stream) opNext(n int) {
	before := m.s.Buffered()
	p, err := m.s.Next(n)
	m.short("Next", n, len(p), err)
	m.read(p)
	m.left(before - len(p))
}

func (m *stream) left(want int) {
	if got := m.s.Buffered(); got != want {
		m.failf("S01: %d bytes are left; want %d", got, want)
	}
}

func (m *stream) opDiscard(n int) {
	p, _ := m.s.Peek(n)
	copied, before := m.in, m.s.Buffered()
	m.bad(copied.read(p))
	got, err := m.s.Discard(n)
	m.short("Discard", n, got, err)
	if got != len(p) {
		m.failf("Discard has dropped %d bytes of %d", got, len(p))
	}
	m.in = copied
	m.w.claim(m)
	m.left(before - got)
}

func (m *stream) opRead(n int) {
	before := m.s.Buffered()
	p := make([]byte, n)
	got, err := m.s.Read(p)
	switch {
	case before > 0 && (err != nil || got != min(n, before)):
		m.failf("Read(%d) of %d bytes: %d, %w", n, before, got, errOrNil(err))
	case before == 0 && n > 0 && err == nil:
		m.failf("Read of nothing: %d, nil", got)
	case errors.Is(err, io.EOF) && m.over(), errors.Is(err, session.ErrWouldBlock) && m.over() && m.opened:
		m.failf("S20: Read after the end: %w", err)
	}
	m.read(p[:got])
	m.left(before - got)
}

// partWriter takes a part of what it is given.
type partWriter struct {
	p    []byte
	most int
}

func (w *partWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.most)
	w.p = append(w.p, p[:n]...)
	return n, nil
}

func (m *stream) opWriteTo(n int) {
	before := m.s.Buffered()
	to := &partWriter{most: n}
	got, err := m.s.WriteTo(to)
	if int(got) != len(to.p) || got != int64(min(n, before)) || (n < before) != (err != nil) {
		m.failf("WriteTo: %d, %w, of %d bytes to a writer that takes %d", got, errOrNil(err), before, n)
	}
	m.read(to.p)
	m.left(before - int(got))
}

// taken is memory that a Take has handed over.
type taken struct {
	m    *stream
	b    *session.Buffer
	want []byte
}

func (m *stream) take(n int) *session.Buffer {
	before := m.s.Buffered()
	b, err := m.s.Take(n)
	switch {
	case err == nil && n >= 0 && len(b.Bytes()) != n:
		m.failf("Take(%d): %d bytes", n, len(b.Bytes()))
	case err != nil && n <= before:
		m.failf("Take(%d) of %d: %w", n, before, err)
	case err == nil && n > before:
		m.failf("Take(%d) of %d: nil", n, before)
	}
	if err != nil {
		return nil
	}
	m.read(b.Bytes())
	m.left(before - len(b.Bytes()))
	return b
}

func (m *stream) opTake(n int) {
	if b := m.take(min(n, m.s.Buffered())); b != nil {
		t := &taken{m: m, b: b, want: append([]byte(nil), b.Bytes()...)}
		m.w.taken = append(m.w.taken, t)
	}
}

// release gives memory back that was taken, unchanged.
func (w *world) release(i int) {
	if len(w.taken) == 0 {
		return
	}
	i %= len(w.taken)
	t := w.taken[i]
	w.taken = append(w.taken[:i:i], w.taken[i+1:]...)
	if at := firstDifference(t.b.Bytes(), t.want); at >= 0 {
		t.m.failf("S04: byte %d of memory that was taken has changed from %#x to %#x", at, t.want[at], t.b.Bytes()[at])
	}
	t.b.Release()
	t.b.Release() // does nothing
	if t.b.Bytes() != nil {
		t.m.failf("S04: a Buffer has bytes after Release")
	}
}
