package polled_test

import (
	"errors"
	"io"
	"testing"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// scripted is a Framed session over a scripted one.
func scripted(reads ...sessiontest.Read[[]byte]) (*polled.MessageSession[[]byte, []byte], *sessiontest.Script[[]byte, []byte]) {
	inner := &sessiontest.Script[[]byte, []byte]{Reads: reads}
	return polled.NewFramed(inner, frame.U64{MaxPayload: 100}, 32), inner
}

func data(p string) sessiontest.Read[[]byte] {
	return sessiontest.Read[[]byte]{Data: []byte(p), Status: polled.Data}
}

// TestFramedStatuses reads a message in pieces: None, Buffered, Data.
func TestFramedStatuses(t *testing.T) {
	f, _ := scripted(
		sessiontest.Read[[]byte]{}, data("\x05\x00\x00"), sessiontest.Read[[]byte]{Status: polled.Buffered},
		data("\x00\x00\x00\x00\x00he"), data("llo\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00!"),
		sessiontest.Read[[]byte]{Err: io.EOF})
	for i, want := range []struct {
		status polled.ReadStatus
		m      string
		err    error
	}{
		{polled.None, "", nil}, {polled.Buffered, "", nil}, {polled.Buffered, "", nil}, {polled.Buffered, "", nil},
		{polled.Data, "hello", nil}, {polled.Data, "", nil}, {polled.Data, "!", nil},
		{polled.None, "", io.EOF}, {polled.None, "", io.EOF},
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
		if m, status, err := f.Read(); string(m) != "!" || status != polled.Data || err != nil {
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
		if _, status, err := f.Write([]byte("bad")); status != polled.Success || err != nil {
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
	f := polled.NewFramed(below, frame.U64{MaxPayload: 100}, 32)
	write := func(n int, want polled.WriteStatus, queued int) {
		t.Helper()
		m := make([]byte, n)
		if rest, status, err := f.Write(m); status != want || err != nil || status == polled.Pending && len(rest) != n {
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
	write(16, polled.Success, 24)
	write(1, polled.Success, 23) // 10 went below to make room
	write(16, polled.Pending, 23)
	if _, _, err := peer.Read(); err != nil {
		t.Fatal(err)
	}
	write(16, polled.Pending, 13)
	drain()
	write(100, polled.Success, 108) // larger than the buffer, which is empty
	write(0, polled.Pending, 98)
	drain()
	if _, status, err := f.Write(make([]byte, 101)); status != polled.Pending || !errors.Is(err, frame.ErrTooLarge) {
		t.Errorf("Write of more than the codec takes: %v, %v", status, err)
	}
	write(3, polled.Success, 11)
	if err := f.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Close with a byte that nobody took: %v", err)
	}
	if err := f.Close(); err != nil || below.Status() != polled.Terminated {
		t.Errorf("Close again: %v; below: %v", err, below.Status())
	}
}
