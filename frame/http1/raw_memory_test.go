package http1

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRawPartsEndWhereTheyEnd appends to everything that a request returns: that must not change its other parts, nor what
// follows it.
func TestRawPartsEndWhereTheyEnd(t *testing.T) {
	for _, raw := range []string{
		"POST /path?query HTTP/1.1\r\nHost: host\r\nX-A: value\r\nContent-Length: 7\r\n\r\ncontentGET / HTTP/1.1\r\n",
		"POST http://name:80/path?query HTTP/1.1\r\nHost: host\r\nX-A: value\r\nContent-Length: 7\r\n\r\ncontentGET / HTTP/1.1\r\n",
		"POST http://name?query HTTP/1.1\r\nHost: host\r\nX-A: value\r\nContent-Length: 7\r\n\r\ncontentGET / HTTP/1.1\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: host\r\nContent-Length: 7\r\n\r\ncontentGET / HTTP/1.1\r\n",
		"CONNECT name:1 HTTP/1.1\r\nHost: host\r\n\r\nGET / HTTP/1.1\r\n",
	} {
		p := []byte(raw)
		m, _, need, err := RawRequests{}.NewRawRequestDecoder().Decode(p)
		require.NoError(t, err)
		require.Zero(t, need)
		parts := [][]byte{m.Method, m.Target, m.Path(), m.Query(), m.Host(), m.Content, m.Get("x-a")}
		for name, value := range m.Fields() {
			parts = append(parts, name, value)
		}
		for i, part := range parts {
			_ = append(part, "!!"...)
			assert.Equal(t, raw, string(p), "after an append to part %d, %q", i, part)
		}
	}
	x := RawResponse{}
	_, _ = x.WriteString("a longer content")
	x.Reset()
	_, _ = x.WriteString("short")
	assert.Len(t, slices.Clip(x.Content()), cap(x.Content()), "the memory behind the content shows")
}

// TestRawResponseToWhatCame has a handler change the request that it answers. Whether content follows, and the connection goes
// on, depends on the one that came.
func TestRawResponseToWhatCame(t *testing.T) {
	for _, change := range []func(*RawRequest){
		func(m *RawRequest) { m.Method, m.Minor = []byte("GET"), 1 },
		func(m *RawRequest) { copy(m.Method, bytes.ToLower(m.Method)) },
		func(m *RawRequest) { m.Method = nil },
	} {
		for raw, want := range map[string]string{
			"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n":                     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
			"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		} {
			m, _, _, err := RawRequests{}.NewRawRequestDecoder().Decode([]byte(raw))
			require.NoError(t, err)
			change(m)
			var x RawResponse
			_, _ = x.WriteString("hello")
			got, err := x.Append(nil, m, Limits{})
			require.NoError(t, err)
			assert.Equal(t, want, string(got), "to %q", raw)
		}
	}
}

// TestRawResponseRefuses has a handler that would have a client see another response, or another end of it.
func TestRawResponseRefuses(t *testing.T) {
	m, _, _, err := RawRequests{}.NewRawRequestDecoder().Decode([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	require.NoError(t, err)
	for i, spoil := range []func(x *RawResponse){
		func(x *RawResponse) { _ = x.Add("X", "a\r\nb: c") },
		func(x *RawResponse) { _ = x.Add("X", "a\nb") },
		func(x *RawResponse) { _ = x.Add("X", "a\rb") },
		func(x *RawResponse) { _ = x.Add("X", "a\x00") },
		func(x *RawResponse) { _ = x.Add("X", "0123456\x7f") },
		func(x *RawResponse) { _ = x.Add("X", "01234567\n") },
		func(x *RawResponse) { _ = x.Add("X: a\r\nY", "b") },
		func(x *RawResponse) { _ = x.Add("", "b") },
		func(x *RawResponse) { _ = x.Add("X ", "b") },
		func(x *RawResponse) { _ = x.Add(" X", "b") },
		func(x *RawResponse) { _ = x.Add("CONTENT-LENGTH", "0") },
		func(x *RawResponse) { _ = x.Add("Content-length", "5") },
		func(x *RawResponse) { _ = x.Add("transfer-Encoding", "chunked") },
		func(x *RawResponse) { _ = x.Add("Connection", "keep-alive") },
		func(x *RawResponse) { _ = x.Add("trailer", "x") },
		func(x *RawResponse) { x.Date = "now\r\nContent-Length: 0" },
		func(x *RawResponse) { x.Status = 99 },
		func(x *RawResponse) { x.Status = -200 },
		func(x *RawResponse) { x.Status = 1000 },
		func(x *RawResponse) { x.Status = 100 },
		func(x *RawResponse) { x.Status = 101 },
		func(x *RawResponse) { x.Status = 204 },
		func(x *RawResponse) { x.Status = 304 },
		func(x *RawResponse) { x.SetContent(make([]byte, 101)) },
		func(x *RawResponse) {
			for range 11 {
				_ = x.Add("X", "a")
			}
		},
		func(x *RawResponse) { _ = x.Add("X", strings.Repeat("a", 1000)) },
	} {
		var x RawResponse
		_, _ = x.WriteString("hello")
		spoil(&x)
		_ = x.Add("Y", "z")
		got, err := x.Append([]byte("before"), m, Limits{HeadBytes: 1000, HeadLines: 10, BodyBytes: 100})
		require.Error(t, err, "%d was appended: %q", i, got)
		assert.Equal(t, "before", string(got), "%d", i)
		x.Reset()
		_, err = x.Append(nil, m, Limits{})
		require.NoError(t, err, "%d, after Reset", i)
	}
}

// TestRawDecoderReleases has large requests of every kind, and looks for what a decoder keeps when their time is over.
func TestRawDecoderReleases(t *testing.T) {
	long := strings.Repeat("X: "+strings.Repeat("a", 200)+"\r\n", 200)
	content := strings.Repeat("c", 1<<20)
	for name, raw := range map[string]string{
		"head":    "GET / HTTP/1.1\r\nHost: a\r\n" + long + "\r\n",
		"content": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + content,
		"chunks":  "POST / HTTP/1.1\r\nHost: a\r\n" + long + "Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n100000\r\n" + content + "\r\n0\r\nX: y\r\n\r\n",
	} {
		d := RawRequests{}.NewRawRequestDecoder()
		p := []byte(raw)
		m, n, need, err := d.Decode(p[:len(p)-1])
		require.NoError(t, err)
		require.Nil(t, m)
		require.Positive(t, need)
		m, _, need, err = d.Decode(p[n:])
		require.NoError(t, err)
		require.Zero(t, need)
		require.NotNil(t, m)
		d.Release()
		d.Release()
		assert.Equal(t, RawRequest{}, d.message, name)
		assert.LessOrEqual(t, cap(d.kept), mostText, name)
		assert.LessOrEqual(t, cap(d.head.request.fields), mostSpans, name)
		assert.Zero(t, cap(d.body.kept)+cap(d.body.lent), name)
		assert.Nil(t, d.trailer, name)
		m, _, _, err = d.Decode([]byte("GET /next HTTP/1.1\r\nHost: a\r\n\r\n"))
		require.NoError(t, err, name)
		assert.Equal(t, "/next", string(m.Path()), name)
	}
}
