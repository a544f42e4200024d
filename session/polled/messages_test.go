package polled_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		require.Equal(t, want.status, status, "Read %d", i)
		require.Equal(t, want.m, string(m), "Read %d", i)
		require.Equal(t, want.err, err, "Read %d", i)
	}
}

// TestFramedWrongBytes reads an error that stays, with its place, and still sends an answer.
func TestFramedWrongBytes(t *testing.T) {
	for name, c := range map[string]struct {
		wrong  string
		kind   error
		offset int64
	}{
		"a length that is too large": {"\xff\xff\xff\xff\xff\xff\xff\xff", frame.ErrTooLarge, 9},
		"the end within a message":   {"\x01", io.ErrUnexpectedEOF, 10},
	} {
		t.Run(name, func(t *testing.T) {
			f, inner := scripted(data("\x01\x00\x00\x00\x00\x00\x00\x00!"), data(c.wrong), sessiontest.Read[[]byte]{Err: io.EOF})
			m, status, err := f.Read()
			require.NoError(t, err)
			require.Equal(t, "!", string(m))
			require.Equal(t, polled.Data, status)
			for range 3 {
				_, _, err = f.Read()
			}
			var e *frame.Error
			require.ErrorAs(t, err, &e)
			assert.ErrorIs(t, err, c.kind)
			assert.Equal(t, c.offset, e.Offset)
			_, written, err := f.Write([]byte("bad"))
			assert.NoError(t, err)
			assert.Equal(t, polled.Success, written)
			_, err = f.Drive()
			assert.NoError(t, err)
			assert.Len(t, inner.Written, 1)
		})
	}
}

// TestFramedWriteBuffer takes frames as a whole or not at all, and a large one when nothing else waits.
func TestFramedWriteBuffer(t *testing.T) {
	below, peer := sessiontest.Pair(10)
	f := polled.NewFramed(below, frame.U64{MaxPayload: 100}, 32)
	write := func(n int, want polled.WriteStatus, queued int) {
		t.Helper()
		m := make([]byte, n)
		rest, status, err := f.Write(m)
		require.NoError(t, err)
		require.Equal(t, want, status, "a Write of %d bytes", n)
		if status == polled.Pending {
			require.Len(t, rest, n)
		}
		require.Equal(t, queued, f.Queued(), "after a Write of %d bytes", n)
	}
	drain := func() {
		t.Helper()
		for f.Queued() > 0 {
			_, err := f.Drive()
			require.NoError(t, err)
			_, _, _ = peer.Read()
		}
	}
	write(16, polled.Success, 24)
	write(1, polled.Success, 23) // 10 went below to make room
	write(16, polled.Pending, 23)
	_, _, err := peer.Read()
	require.NoError(t, err)
	write(16, polled.Pending, 13)
	drain()
	write(100, polled.Success, 108) // larger than the buffer, which is empty
	write(0, polled.Pending, 98)
	drain()
	_, status, err := f.Write(make([]byte, 101))
	assert.Equal(t, polled.Pending, status, "Write of more than the codec takes")
	assert.ErrorIs(t, err, frame.ErrTooLarge, "Write of more than the codec takes")
	write(3, polled.Success, 11)
	assert.ErrorIs(t, f.Close(), io.ErrShortWrite, "Close with a byte that nobody took")
	err = f.Close()
	assert.NoError(t, err, "Close again")
	assert.Equal(t, polled.Terminated, below.Status(), "Close again")
}

// TestFramedSkips reads what is in front of a message that is too large, hears of that, and reads what is behind it.
func TestFramedSkips(t *testing.T) {
	inner := &sessiontest.Script[[]byte, []byte]{Reads: []sessiontest.Read[[]byte]{
		data("\x01a\x02bc\x06not"), {}, data(" so\x01d"), {Err: io.EOF},
	}}
	f := polled.NewFramed(inner, frame.Varint{MaxPayload: 1, SkipTooLarge: true}, 0)
	for i, want := range []struct {
		status  polled.ReadStatus
		m       string
		skipped int64
		err     error
	}{
		{polled.Data, "a", 0, nil}, {polled.Buffered, "", 2, nil}, {polled.None, "", 0, nil}, {polled.Buffered, "", 5, nil},
		{polled.Data, "d", 0, nil}, {polled.None, "", 0, io.EOF},
	} {
		m, status, err := f.Read()
		require.Equal(t, want.err, err, "Read %d", i)
		require.Equal(t, want.status, status, "Read %d", i)
		require.Equal(t, want.m, string(m), "Read %d", i)
		if want.skipped == 0 {
			require.Nil(t, f.Skipped(), "Read %d", i)
			continue
		}
		require.NotNil(t, f.Skipped(), "Read %d", i)
		require.Equal(t, want.skipped, f.Skipped().Offset, "Read %d", i)
	}
}
