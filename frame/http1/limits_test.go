package http1

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// fill returns a request whose head has size bytes.
func fill(size int) string {
	const start, end = "GET / HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n"
	return start + strings.Repeat("x", size-len(start)-len(end)) + end
}

// TestBoundaries has a message at each limit, and one that is one beyond. status is what a server says to that one.
func TestBoundaries(t *testing.T) {
	fields := func(n int) string {
		return "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", n-1) + "\r\n"
	}
	content := func(n int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n))
	}
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("x", n)) }
	chunks := func(s string) string { return chunkedHead + s + "0\r\n\r\n" }
	line := func(n int) string { // a chunk of 1 byte whose line has n bytes
		return "1;" + strings.Repeat("x", n-4) + "\r\n?\r\n"
	}
	trailer := func(n int) string { return chunkedHead + "0\r\nX: " + strings.Repeat("x", n-7) + "\r\n\r\n" }
	trailers := func(n int) string { return chunkedHead + "0\r\n" + strings.Repeat("X: y\r\n", n) + "\r\n" }
	for _, c := range []struct {
		name         string
		limits       Limits
		last, beyond string
		status       int
	}{
		{"head", Limits{HeadBytes: 100}, fill(100), fill(101), 431},
		{"head, default", Limits{}, fill(64 << 10), fill(64<<10 + 1), 431},
		{"first line", Limits{HeadBytes: 20}, "GET / HTTP/1.0\r\n\r\n", "GET /" + strings.Repeat("x", 20) + " HTTP/1.0\r\n\r\n", 414},
		{"lines", Limits{HeadLines: 3}, fields(3), fields(4), 431},
		{"lines, default", Limits{}, fields(256), fields(257), 431},
		{"no lines", Limits{HeadLines: -1}, "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nX: y\r\n\r\n", 431},
		{"content", Limits{BodyBytes: 10}, content(10), content(11), 413},
		{"content, default", Limits{}, content(16 << 20), content(16<<20 + 1), 413},
		{"no content", Limits{BodyBytes: -1}, content(0), content(1), 413},
		{"no chunk", Limits{BodyBytes: -1}, chunks(""), chunks(chunk(1)), 413},
		{"one chunk", Limits{BodyBytes: 20}, chunks(chunk(20)), chunks(chunk(21)), 413},
		{"chunks", Limits{BodyBytes: 20}, chunks(chunk(19) + chunk(1)), chunks(chunk(19) + chunk(2)), 413},
		{"chunk digit", Limits{BodyBytes: 3}, chunks(chunk(3)), chunks(chunk(15)), 413},
		{"chunk line", Limits{ChunkLineBytes: 9}, chunks(line(9)), chunks(line(10)), 400},
		{"chunk line, default", Limits{}, chunks(line(1024)), chunks(line(1025)), 400},
		// Each line of 1018 bytes may have 16 and two for its byte of content, so 1000 count against 16 KiB.
		{"lines of chunks", Limits{}, chunks(strings.Repeat(line(1018), 16)), chunks(strings.Repeat(line(1018), 17)), 413},
		{"trailer", Limits{TrailerBytes: 30}, trailer(30), trailer(31), 431},
		{"trailer, default", Limits{}, trailer(8 << 10), trailer(8<<10 + 1), 431},
		{"no trailer", Limits{TrailerBytes: 2}, chunks(""), trailer(8), 431},
		{"trailer's lines", Limits{HeadLines: 3}, trailers(3), trailers(4), 431},
	} {
		t.Run(c.name, func(t *testing.T) {
			codec := Requests{Limits: c.limits}
			for _, size := range []int{1 << 30, max(1000, len(c.last)/50)} {
				got := drive(t, codec.NewDecoder(), cut(c.last, size), true, true, showRequest)
				require.Len(t, got.Messages, 1, "at the limit, in pieces of %d", size)
				require.Empty(t, got.Err, "at the limit, in pieces of %d", size)
				d := codec.NewRequestDecoder()
				got = drive(t, d, cut(c.beyond, size), true, true, showRequest)
				require.Empty(t, got.Messages, "beyond the limit, in pieces of %d: %s", size, got.Err)
				require.ErrorIs(t, got.kind, frame.ErrTooLarge, "beyond the limit, in pieces of %d: %s", size, got.Err)
				require.Equal(t, c.status, d.Status(), "beyond the limit, in pieces of %d: %s", size, got.Err)
			}
			if c.name != "lines of chunks" {
				assert.LessOrEqual(t, len(c.last), codec.MaxSize(), "bytes of a message")
			}
		})
	}
}

func TestUntilCloseHasALimit(t *testing.T) {
	codec := Responses{Limits: Limits{BodyBytes: 10}, Assume: http.MethodGet}
	const head = "HTTP/1.1 200 OK\r\n\r\n"
	for n := 8; n < 14; n++ {
		got := sameInPieces(t, head+strings.Repeat("x", n), func(pieces [][]byte, patient bool) outcome {
			return drive(t, codec.NewDecoder(), pieces, patient, true, showResponse)
		})
		fits := n <= 10
		assert.Equal(t, fits, len(got.Messages) == 1, "%d bytes", n)
		assert.Equal(t, !fits, errors.Is(got.kind, frame.ErrTooLarge), "%d bytes", n)
	}
	d := codec.NewResponseDecoder()
	_, n, need, err := d.Decode([]byte(head))
	require.NoError(t, err)
	require.Equal(t, len(head), n)
	require.Equal(t, 1, need)
	_, _, err = d.End([]byte("01234567890"))
	assert.ErrorIs(t, err, frame.ErrTooLarge, "content that End sees first")
}

func TestAppendHasLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		edit   func(m *Request)
	}{
		"head":       {Limits{HeadBytes: 60}, func(m *Request) { m.Header.Set("X", strings.Repeat("x", 60)) }},
		"lines":      {Limits{HeadLines: 2}, func(m *Request) { m.Header["X"] = []string{"1", "2"} }},
		"content":    {Limits{BodyBytes: 2}, func(*Request) {}},
		"chunks":     {Limits{BodyBytes: 2}, func(m *Request) { m.ContentLength = -1 }},
		"chunk line": {Limits{ChunkLineBytes: 2}, func(m *Request) { m.ContentLength = -1 }},
		"trailer":    {Limits{TrailerBytes: 7}, func(m *Request) { m.Trailer = http.Header{"X": {"y"}} }},
		"its lines":  {Limits{HeadLines: 3}, func(m *Request) { m.Trailer = http.Header{"X": {"1", "2", "3", "4"}} }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newRequest(t, "GET", "http://a/", "abc")
			c.edit(m)
			_, err := (Requests{}).Append(nil, m)
			assert.NoError(t, err, "with default limits")
			refused(t, frame.ErrTooLarge, Requests{Limits: c.limits}.Append, m)
		})
	}
}

func TestMaxSize(t *testing.T) {
	const def = 64<<10 + 16<<20 + 1<<10 + 8<<10
	got, and := (Requests{}).MaxSize(), (Responses{}).MaxSize()
	assert.Equal(t, def, got)
	assert.Equal(t, def, and)
	assert.Equal(t, 1+3+4+5, (Requests{Limits: Limits{1, 2, 3, 4, 5, 6}}).MaxSize())
	assert.Zero(t, (Requests{Limits: Limits{-1, -1, -1, -1, -1, -1}}).MaxSize())
	const most = math.MaxInt
	assert.GreaterOrEqual(t, (Requests{Limits: Limits{most, most, most, most, most, most}}).MaxSize(), most/4)
}

// TestClaims sends lengths that never come. What is kept stays in proportion to what came.
func TestClaims(t *testing.T) {
	for _, raw := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\nx",
		chunkedHead + "1000000\r\nx",
	} {
		d := requests()
		got := drive(t, d, cut(raw, 7), false, false, showRequest)
		assert.Empty(t, got.Err, "%q", raw)
		assert.LessOrEqual(t, cap(d.body.kept), 16, "%q", raw)
	}
}

// TestGrowth lets content come slowly: memory is at most twice of what came, and never above the limit.
func TestGrowth(t *testing.T) {
	const limit = 1000
	d := Responses{Limits: Limits{BodyBytes: limit}, Assume: "GET"}.NewResponseDecoder()
	drive(t, d, whole("HTTP/1.1 200 OK\r\n\r\n"), false, false, showResponse)
	for came := 1; came <= limit; came++ {
		_, n, need, err := d.Decode([]byte{byte(came)})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, 1, need)
		kept := cap(d.body.kept)
		require.Len(t, d.body.kept, came, "after %d bytes", came)
		require.LessOrEqual(t, kept, 2*came, "after %d bytes", came)
		require.LessOrEqual(t, kept, limit, "after %d bytes", came)
	}
	m, ok, err := d.End(nil)
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, m.Content, limit)
	require.Equal(t, byte(limit%256), m.Content[limit-1])
}
