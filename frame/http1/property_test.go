package http1

import (
	"bytes"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	anyToken   = rapid.StringMatching("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}")
	anyValue   = rapid.StringMatching(`([!-~\x{80}-\x{2ff}]([ \t!-~\x{80}-\x{2ff}]{0,20}[!-~\x{80}-\x{2ff}])?)?`)
	anyContent = rapid.SliceOfN(rapid.Byte(), 0, 200)
	anyHost    = rapid.StringMatching(`([a-z0-9.-]{1,12}|\[[0-9a-f:]{2,8}\])(:[0-9]{1,5})?`)
	anyTarget  = rapid.StringMatching(`/[a-z0-9/]{0,10}(%[0-9a-f]{2})?(\?[a-z0-9=&+%]{0,10})?`)
	anyFields  = rapid.MapOfN(rapid.StringMatching("X-[A-Z][a-z0-9]{0,5}"), rapid.SliceOfN(anyValue, 1, 3), 0, 5)
	anyPieces  = rapid.SliceOfN(rapid.IntRange(0, 60), 0, 12)
)

// none is the Header that net/http makes where there are no fields.
func none(fields map[string][]string) http.Header {
	if len(fields) == 0 {
		return nil
	}
	return fields
}

// cutAt cuts p into pieces of the given sizes, and what is left.
func cutAt(p []byte, sizes []int) (pieces [][]byte) {
	for _, size := range sizes {
		size = min(size, len(p))
		pieces = append(pieces, p[:size])
		p = p[size:]
	}
	return append(pieces, p)
}

// TestRequestsRoundTrip encodes some requests into one stream, and decodes them from pieces of it.
func TestRequestsRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var sent []*Request
		var stream []byte
		count := rapid.IntRange(1, 3).Draw(r, "requests")
		for i := range count {
			m := drawRequest(r, i == count-1)
			var err error
			stream, err = (Requests{}).Append(stream, m)
			require.NoError(r, err, "%+v", m.Request)
			sent = append(sent, m)
		}
		var came []*Request
		got := drive(t, requests(), cutAt(stream, anyPieces.Draw(r, "pieces")), rapid.Bool().Draw(r, "patient"), true,
			func(m *Request) string {
				m.Content = slices.Clone(m.Content)
				came = append(came, m)
				return ""
			})
		require.Empty(r, got.Err, "%q", stream)
		require.Empty(r, got.Left, "%q", stream)
		require.Equal(r, len(sent), len(came), "%q", stream)
		for i, m := range came {
			want := sent[i]
			same := m.Method == want.Method && m.RequestURI == want.URL.RequestURI() && m.Host == want.Host &&
				m.Close == want.Close && bytes.Equal(m.Content, want.Content) && reflect.DeepEqual(m.Trailer, want.Trailer)
			for name, values := range want.Header {
				same = same && reflect.DeepEqual(m.Header[name], values)
			}
			require.True(r, same, "%q:\ngot  %+v\nwant %+v", stream, m.Request, want.Request)
		}
	})
}

// drawRequest makes a request. Only the last one may close the connection.
func drawRequest(r *rapid.T, last bool) *Request {
	m := &Request{Request: &http.Request{}, Content: anyContent.Draw(r, "content")}
	m.Method = anyToken.Filter(func(s string) bool { return s != "CONNECT" }).Draw(r, "method")
	m.Host = anyHost.Draw(r, "host")
	u, err := url.ParseRequestURI(anyTarget.Draw(r, "target"))
	require.NoError(r, err)
	m.URL = u
	m.Header = anyFields.Draw(r, "header")
	m.Close = last && rapid.Bool().Draw(r, "close")
	if old := rapid.Bool().Draw(r, "old"); old && (m.Close || !last) {
		m.ProtoMajor = 1
		return m
	}
	m.ContentLength = rapid.SampledFrom([]int64{0, -1, int64(len(m.Content))}).Draw(r, "length")
	if rapid.Bool().Draw(r, "with trailer") {
		m.ContentLength = min(m.ContentLength, 0)
		m.Trailer = none(anyFields.Draw(r, "trailer"))
	}
	return m
}

// TestResponsesRoundTrip encodes answers to some requests into one stream, and decodes them from pieces of it.
func TestResponsesRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var sent, came []*Response
		var stream []byte
		d := Responses{}.NewResponseDecoder()
		count := rapid.IntRange(1, 4).Draw(r, "responses")
		for i := range count {
			m := drawResponse(r, i == count-1)
			var err error
			stream, err = (Responses{}).Append(stream, m)
			require.NoError(r, err, "%+v", m.Response)
			sent = append(sent, m)
			if !m.Interim() {
				d.Expect(m.Request.Method)
			}
		}
		d.Expect("GET") // so that a last interim response has been asked for
		got := drive(t, d, cutAt(stream, anyPieces.Draw(r, "pieces")), rapid.Bool().Draw(r, "patient"), true,
			func(m *Response) string {
				m.Content = slices.Clone(m.Content)
				came = append(came, m)
				return ""
			})
		require.Empty(r, got.Err, "%q", stream)
		require.Empty(r, got.Left, "%q", stream)
		require.Equal(r, len(sent), len(came), "%q", stream)
		for i, m := range came {
			sameResponse(r, stream, m, sent[i])
		}
	})
}

func sameResponse(r *rapid.T, stream []byte, m, want *Response) {
	content := want.Content
	if want.Request.Method == http.MethodHead {
		content = nil
	}
	same := m.StatusCode == want.StatusCode && bytes.Equal(m.Content, content) && m.KeepAlive() == want.KeepAlive()
	if hasContent(want.Response) {
		same = same && reflect.DeepEqual(m.Trailer, want.Trailer)
	}
	for name, values := range want.Header {
		same = same && reflect.DeepEqual(m.Header[name], values)
	}
	require.True(r, same, "%q:\ngot  %+v\nwant %+v", stream, m.Response, want.Response)
}

func drawResponse(r *rapid.T, last bool) *Response {
	method := rapid.SampledFrom([]string{"GET", "HEAD", "POST"}).Draw(r, "method")
	m := &Response{Response: &http.Response{Request: &http.Request{Method: method}}}
	m.StatusCode = rapid.SampledFrom([]int{100, 103, 200, 204, 206, 304, 404, 500, 999}).Draw(r, "status")
	m.Status = rapid.SampledFrom([]string{"", "Any  reason \u00e4"}).Draw(r, "reason")
	m.Header = anyFields.Draw(r, "header")
	m.Close = last && !m.Interim() && rapid.Bool().Draw(r, "close")
	if hasContent(m.Response) || method == http.MethodHead && m.StatusCode >= 200 && m.StatusCode != 204 && m.StatusCode != 304 {
		m.Content = anyContent.Draw(r, "content")
		m.ContentLength = rapid.SampledFrom([]int64{0, -1}).Draw(r, "length")
		if rapid.Bool().Draw(r, "with trailer") {
			m.Trailer = none(anyFields.Draw(r, "trailer"))
		}
	}
	return m
}

// TestAnyBytes gives decoders what is no HTTP at all, and parts of it in wrong places.
func TestAnyBytes(t *testing.T) {
	words := rapid.SampledFrom([]string{
		"GET / HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n", "Host: a\r\n", "\r\n", "\n", "\r", "Content-Length: 3\r\n", "0\r\n", "5;a=\"b\"\r\n",
		"Transfer-Encoding: chunked\r\n", "Trailer: X\r\n", "X: y\r\n", "hello", "POST /a HTTP/1.0\r\n", "HTTP/1.0 304 \r\n", "\x00", " ",
		"Connection: close\r\n", "HTTP/1.1 100 \r\n", "HTTP/1.1 101 \r\n", "CONNECT a:1 HTTP/1.1\r\n",
	})
	rapid.Check(t, func(r *rapid.T) {
		var raw []byte
		for _, word := range rapid.SliceOfN(words, 0, 20).Draw(r, "words") {
			raw = append(raw, word...)
		}
		sizes, patient := anyPieces.Draw(r, "pieces"), rapid.Bool().Draw(r, "patient")
		whole := drive(t, requests(), [][]byte{raw}, false, true, showRequest)
		require.Equal(r, whole, drive(t, requests(), cutAt(raw, sizes), patient, true, showRequest), "in pieces")
		const methods = "GET HEAD CONNECT GET"
		one := drive(t, responses(methods), [][]byte{raw}, false, true, showResponse)
		require.Equal(r, one, drive(t, responses(methods), cutAt(raw, sizes), patient, true, showResponse), "in pieces")
	})
}
