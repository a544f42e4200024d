package session_test

import (
	"errors"
	"io"
	"testing"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// scripted is a Framed session over a scripted one.
func scripted(reads ...sessiontest.Read[[]byte]) (*session.Framed[[]byte, []byte], *sessiontest.Script[[]byte, []byte]) {
	inner := &sessiontest.Script[[]byte, []byte]{Reads: reads}
	return session.NewFramed(inner, frame.U64{MaxPayload: 100}, 32), inner
}

func data(p string) sessiontest.Read[[]byte] {
	return sessiontest.Read[[]byte]{Data: []byte(p), Status: session.Data}
}

// TestFramedStatuses reads a message in pieces: None, Buffered, Data.
func TestFramedStatuses(t *testing.T) {
	f, _ := scripted(
		sessiontest.Read[[]byte]{}, data("\x05\x00\x00"), sessiontest.Read[[]byte]{Status: session.Buffered},
		data("\x00\x00\x00\x00\x00he"), data("llo\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00!"),
		sessiontest.Read[[]byte]{Err: io.EOF})
	for i, want := range []struct {
		status session.ReadStatus
		m      string
		err    error
	}{
		{session.None, "", nil}, {session.Buffered, "", nil}, {session.Buffered, "", nil}, {session.Buffered, "", nil},
		{session.Data, "hello", nil}, {session.Data, "", nil}, {session.Data, "!", nil},
		{session.None, "", io.EOF}, {session.None, "", io.EOF},
	} {
		m, status, err := f.Read()
		if status != want.status || string(m) != want.m || err != want.err {
			t.Fatalf("Read %d: %q, %v, %v; want %q, %v, %v", i, m, status, err, want.m, want.status, want.err)
		}
	}
}

// TestFramedWrongBytes tells where they are, again and again, and still takes an answer.
func TestFramedWrongBytes(t *testing.T) {
	for wrong, kind := range map[string]error{"\xff\xff\xff\xff\xff\xff\xff\xff": frame.ErrTooLarge, "\x01": io.ErrUnexpectedEOF} {
		f, inner := scripted(data("\x01\x00\x00\x00\x00\x00\x00\x00!"), data(wrong), sessiontest.Read[[]byte]{Err: io.EOF})
		if m, status, err := f.Read(); string(m) != "!" || status != session.Data || err != nil {
			t.Fatalf("Read: %q, %v, %v", m, status, err)
		}
		var err error
		for range 3 {
			_, _, err = f.Read()
		}
		var e *frame.Error
		offset := int64(9)
		if kind == io.ErrUnexpectedEOF {
			offset = 10
		}
		if !errors.As(err, &e) || !errors.Is(err, kind) || e.Offset != offset {
			t.Errorf("Read: %v, not %v at byte %d", err, kind, offset)
		}
		if _, status, err := f.Write([]byte("bad")); status != session.Success || err != nil {
			t.Errorf("Write: %v, %v", status, err)
		}
		if _, err := f.Drive(); err != nil || len(inner.Written) != 1 {
			t.Errorf("Drive: %v, and %q was written", err, inner.Written)
		}
	}
}

// TestFramedWriteBuffer takes frames as a whole or not at all, and a large one when nothing else waits.
func TestFramedWriteBuffer(t *testing.T) {
	below, peer := sessiontest.Pair(10)
	f := session.NewFramed(below, frame.U64{MaxPayload: 100}, 32)
	write := func(n int, want session.WriteStatus, queued int) {
		t.Helper()
		m := make([]byte, n)
		if rest, status, err := f.Write(m); status != want || err != nil || status == session.Pending && len(rest) != n {
			t.Fatalf("Write of %d bytes: %d, %v, %v; want %v", n, len(rest), status, err, want)
		}
		if f.Queued() != queued {
			t.Fatalf("after a Write of %d bytes %d wait, not %d", n, f.Queued(), queued)
		}
	}
	drain := func() {
		t.Helper()
		for f.Queued() > 0 {
			if _, err := f.Drive(); err != nil {
				t.Fatal(err)
			}
			_, _, _ = peer.Read()
		}
	}
	write(16, session.Success, 24)
	write(1, session.Success, 23) // 10 went below to make room
	write(16, session.Pending, 23)
	if _, _, err := peer.Read(); err != nil {
		t.Fatal(err)
	}
	write(16, session.Pending, 13)
	drain()
	write(100, session.Success, 108) // larger than the buffer, which is empty
	write(0, session.Pending, 98)
	drain()
	if _, status, err := f.Write(make([]byte, 101)); status != session.Pending || !errors.Is(err, frame.ErrTooLarge) {
		t.Errorf("Write of more than the codec takes: %v, %v", status, err)
	}
	write(3, session.Success, 11)
	if err := f.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Close with a byte that nobody took: %v", err)
	}
	if err := f.Close(); err != nil || below.Status() != session.Terminated {
		t.Errorf("Close again: %v; below: %v", err, below.Status())
	}
}
