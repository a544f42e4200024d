package http1

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

func newRequest(t testing.TB, method, uri, content string) *Request {
	t.Helper()
	r, err := http.NewRequest(method, uri, nil)
	require.NoError(t, err)
	return &Request{Request: r, Content: []byte(content)}
}

// toRequest is a request, and what it is encoded to.
type toRequest struct {
	name string
	m    *Request
	edit func(m *Request)
	want string
}

func toRequests(t *testing.T) []toRequest {
	old := newRequest(t, "GET", "http://a/", "")
	old.ProtoMinor = 0
	return []toRequest{
		{"get", newRequest(t, "GET", "http://example.com:8080/a%20b?c=d#e", ""), nil,
			"GET /a%20b?c=d HTTP/1.1\nHost: example.com:8080\n\n"},
		{"all defaults", &Request{Request: &http.Request{URL: &url.URL{Host: "a"}}}, nil, "GET / HTTP/1.1\nHost: a\n\n"},
		{"fields in order", newRequest(t, "GET", "http://a", ""), func(m *Request) {
			m.Header = http.Header{"B": {"2", " 1\t"}, "a": {"x"}, "A": {""}, "C": nil, "Connection": {"TE"}}
		}, "GET / HTTP/1.1\nHost: a\nA: \nB: 2\nB: 1\nConnection: TE\na: x\n\n"},
		{"length", newRequest(t, "POST", "http://a/", "hello"), nil, "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"},
		{"length 0", newRequest(t, "PUT", "http://a/", ""), nil, "PUT / HTTP/1.1\nHost: a\nContent-Length: 0\n\n"},
		{"length 0 by Header", newRequest(t, "GET", "http://a/", ""), func(m *Request) {
			m.Header.Set("Content-Length", "0")
		}, "GET / HTTP/1.1\nHost: a\nContent-Length: 0\n\n"},
		{"the same length in Header", newRequest(t, "GET", "http://a/", "hello"), func(m *Request) {
			m.Header["content-length"] = []string{"5"}
			m.ContentLength = 5
		}, "GET / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"},
		{"unknown length", newRequest(t, "POST", "http://a/", "0123456789abcdefg"), func(m *Request) { m.ContentLength = -1 },
			"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n11\n0123456789abcdefg\n0\n\n"},
		{"no chunk", newRequest(t, "POST", "http://a/", ""), func(m *Request) { m.TransferEncoding = []string{"chunked"} },
			"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n"},
		{"trailer", newRequest(t, "POST", "http://a/", "x"), func(m *Request) {
			m.Trailer = http.Header{"X-B": {"1", "2"}, "X-A": {"3"}, "X-Never": nil}
		}, "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X-A, X-B, X-Never\n\n1\nx\n0\nX-A: 3\nX-B: 1\nX-B: 2\n\n"},
		{"close", newRequest(t, "GET", "http://a/", ""), func(m *Request) { m.Close = true },
			"GET / HTTP/1.1\nHost: a\nConnection: close\n\n"},
		{"close is said already", newRequest(t, "GET", "http://a/", ""), func(m *Request) {
			m.Close, m.Header = true, http.Header{"Connection": {"x, Close"}}
		}, "GET / HTTP/1.1\nHost: a\nConnection: x, Close\n\n"},
		{"old", old, nil, "GET / HTTP/1.0\nHost: a\nConnection: keep-alive\n\n"},
		{"old, close", newRequest(t, "GET", "http://a/", ""), func(m *Request) { m.ProtoMinor, m.Close = 0, true },
			"GET / HTTP/1.0\nHost: a\n\n"},
		{"old, unknown length", newRequest(t, "GET", "http://a/", "abc"), func(m *Request) {
			m.ProtoMinor, m.Close, m.ContentLength = 0, true, -1
		}, "GET / HTTP/1.0\nHost: a\nContent-Length: 3\n\nabc"},
		{"connect", newRequest(t, "CONNECT", "http://a:443", ""), nil, "CONNECT a:443 HTTP/1.1\nHost: a:443\n\n"},
		{"asterisk", newRequest(t, "OPTIONS", "http://a", ""), func(m *Request) { m.URL.Path = "*" },
			"OPTIONS * HTTP/1.1\nHost: a\n\n"},
		{"through a proxy", newRequest(t, "GET", "http://a/b", ""), func(m *Request) { m.RequestURI = m.URL.String() },
			"GET http://a/b HTTP/1.1\nHost: a\n\n"},
		{"another host", newRequest(t, "GET", "http://10.0.0.1:81/b", ""), func(m *Request) { m.Host = "b.example" },
			"GET /b HTTP/1.1\nHost: b.example\n\n"},
		{"the same host in Header", newRequest(t, "GET", "http://a/", ""), func(m *Request) { m.Header.Set("Host", "a") },
			"GET / HTTP/1.1\nHost: a\n\n"},
		{"zone", newRequest(t, "GET", "http://[fe80::1%25eth0]:80/", ""), nil, "GET / HTTP/1.1\nHost: [fe80::1]:80\n\n"},
	}
}

func TestAppendRequest(t *testing.T) {
	for _, c := range toRequests(t) {
		t.Run(c.name, func(t *testing.T) {
			if c.edit != nil {
				c.edit(c.m)
			}
			got, err := Requests{}.Append([]byte("before"), c.m)
			want := "before" + crlfs(c.want)
			assert.NoError(t, err)
			assert.Equal(t, want, string(got))
		})
	}
}

// toResponse is a response, and what it is encoded to.
type toResponse struct {
	name    string
	status  int
	content string
	edits   []func(m *Response)
	want    string
}

func toResponses() []toResponse {
	type edit = func(m *Response)
	answer := func(method string, minor int) edit {
		return func(m *Response) { m.Request = &http.Request{Method: method, ProtoMajor: 1, ProtoMinor: minor} }
	}
	length := func(n int64) edit { return func(m *Response) { m.ContentLength = n } }
	header := func(name, value string) edit {
		return func(m *Response) { m.Header = http.Header{name: {value}} }
	}
	return []toResponse{
		{"length", 200, "hello", nil, "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"},
		{"length 0", 404, "", nil, "HTTP/1.1 404 Not Found\nContent-Length: 0\n\n"},
		{"reason", 200, "", []edit{func(m *Response) { m.Status = "200 Gut" }}, "HTTP/1.1 200 Gut\nContent-Length: 0\n\n"},
		{"unknown status", 799, "", nil, "HTTP/1.1 799 \nContent-Length: 0\n\n"},
		{"unknown length", 200, "abc", []edit{length(-1)}, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n"},
		{"unknown length, to 1.0", 200, "abc", []edit{length(-1), answer("GET", 0)},
			"HTTP/1.1 200 OK\nContent-Length: 3\nConnection: keep-alive\n\nabc"},
		{"trailer", 200, "abc", []edit{func(m *Response) { m.Trailer = http.Header{"X": {"y"}} }},
			"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X\n\n3\nabc\n0\nX: y\n\n"},
		{"to HEAD", 200, "abc", []edit{answer("HEAD", 1)}, "HTTP/1.1 200 OK\nContent-Length: 3\n\n"},
		{"to HEAD, a length", 200, "", []edit{answer("HEAD", 1), length(7)}, "HTTP/1.1 200 OK\nContent-Length: 7\n\n"},
		{"to HEAD, length 0", 200, "", []edit{answer("HEAD", 1)}, "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
		{"to HEAD, by Header", 200, "", []edit{answer("HEAD", 1), header("Content-Length", "8")}, "HTTP/1.1 200 OK\nContent-Length: 8\n\n"},
		{"to HEAD, unknown", 200, "", []edit{answer("HEAD", 1), length(-1)}, "HTTP/1.1 200 OK\n\n"},
		{"to HEAD, chunks", 200, "abc", []edit{answer("HEAD", 1), func(m *Response) { m.Trailer = http.Header{"X": nil} }},
			"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X\n\n"},
		{"204", 204, "", nil, "HTTP/1.1 204 No Content\n\n"},
		{"204 to HEAD", 204, "", []edit{answer("HEAD", 1)}, "HTTP/1.1 204 No Content\n\n"},
		{"204 with length 0", 204, "", []edit{header("Content-Length", "0")}, "HTTP/1.1 204 No Content\n\n"},
		{"304", 304, "", nil, "HTTP/1.1 304 Not Modified\n\n"},
		{"304 with a length", 304, "", []edit{header("Content-Length", "9")}, "HTTP/1.1 304 Not Modified\nContent-Length: 9\n\n"},
		{"100", 100, "", []edit{func(m *Response) { m.Close = true }}, "HTTP/1.1 100 Continue\n\n"},
		{"101", 101, "", []edit{header("Upgrade", "x")}, "HTTP/1.1 101 Switching Protocols\nUpgrade: x\n\n"},
		{"connect", 200, "", []edit{answer("CONNECT", 1)}, "HTTP/1.1 200 OK\n\n"},
		{"connect refused", 405, "no", []edit{answer("CONNECT", 1)}, "HTTP/1.1 405 Method Not Allowed\nContent-Length: 2\n\nno"},
		{"close", 200, "", []edit{func(m *Response) { m.Close = true }}, "HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n"},
		{"the client closes", 200, "", []edit{answer("GET", 1), func(m *Response) { m.Request.Close = true }},
			"HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n"},
		{"the client says so in Header", 200, "", []edit{answer("GET", 1), func(m *Response) {
			m.Request.Header = http.Header{"Connection": {"close"}}
		}}, "HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n"},
		{"old", 200, "", []edit{func(m *Response) { m.ProtoMajor, m.Close = 1, true }}, "HTTP/1.0 200 OK\nContent-Length: 0\n\n"},
		{"old and close and keep", 200, "", []edit{header("Connection", "keep-alive"), func(m *Response) { m.ProtoMajor, m.Close = 1, true }},
			"HTTP/1.0 200 OK\nContent-Length: 0\nConnection: close\nConnection: keep-alive\n\n"},
		{"Host is no matter", 200, "", []edit{header("Host", "a b")}, "HTTP/1.1 200 OK\nContent-Length: 0\nHost: a b\n\n"},
	}
}

func TestAppendResponse(t *testing.T) {
	for _, c := range toResponses() {
		t.Run(c.name, func(t *testing.T) {
			m := &Response{Response: &http.Response{StatusCode: c.status}, Content: []byte(c.content)}
			for _, e := range c.edits {
				e(m)
			}
			got, err := Responses{}.Append([]byte("before"), m)
			want := "before" + crlfs(c.want)
			assert.NoError(t, err)
			assert.Equal(t, want, string(got))
		})
	}
}

// TestAppendRefusesRequests is also about injection: no part of a message may end its line.
func TestAppendRefusesRequests(t *testing.T) {
	set := func(name string, values ...string) func(m *Request) {
		return func(m *Request) { m.Header[name] = values }
	}
	for name, edit := range map[string]func(m *Request){
		"no request":          func(m *Request) { m.Request = nil },
		"no URL":              func(m *Request) { m.URL, m.Host = nil, "a" },
		"no host":             func(m *Request) { m.URL.Host, m.Host = "", "" },
		"CRLF in the method":  func(m *Request) { m.Method = "GET / HTTP/1.1\r\nX: y\r\n\r\nGET" },
		"space in the method": func(m *Request) { m.Method = "GE T" },
		"CRLF in the target":  func(m *Request) { m.RequestURI = "/ HTTP/1.1\r\nX: y\r\n\r\nGET /" },
		"lines in an old target": func(m *Request) {
			m.ProtoMinor, m.Host, m.URL.Host, m.RequestURI = 0, "", "", "/ HTTP/1.0\r\nX: y\r\nZ:"
		},
		"space in the target":   func(m *Request) { m.RequestURI = "/a b" },
		"a bad target":          func(m *Request) { m.RequestURI = "a" },
		"CRLF in the query":     func(m *Request) { m.URL.RawQuery = "a=b\r\nX: y" },
		"CRLF in opaque":        func(m *Request) { m.URL.Opaque = "/x\r\nX: y" },
		"CRLF in the host":      func(m *Request) { m.Host = "a\r\nX: y" },
		"CRLF in URL.Host":      func(m *Request) { m.URL.Host, m.Host = "a\r\nX: y", "" },
		"half a zone":           func(m *Request) { m.Host = "[fe80::1%eth0" },
		"host beyond ASCII":     func(m *Request) { m.Host = "b\u00fccher.example" },
		"CRLF in a value":       set("X", "a\r\nY: b"),
		"LF in a value":         set("X", "a\nY: b"),
		"CR in a value":         set("X", "a\rb"),
		"NUL in a value":        set("X", "ok", "\x00"),
		"CRLF in a name":        set("X: y\r\nZ", "a"),
		"colon in a name":       set("X:", "a"),
		"space in a name":       set("X ", "a"),
		"no name":               set("", "a"),
		"name beyond ASCII":     set("\u00e4", "a"),
		"another length":        set("Content-Length", "7"),
		"another length, lower": set("content-length", "7"),
		"two lengths":           set("Content-Length", "3", "3"),
		"no number":             set("Content-Length", "+3"),
		"chunked by Header":     set("Transfer-Encoding", "chunked"),
		"chunked, other case":   set("transfer-encoding", "chunked"),
		"another Host":          set("Host", "b"),
		"another Host, lower":   set("host", "b"),
		"ContentLength":         func(m *Request) { m.ContentLength = 4 },
		"a length and chunks":   func(m *Request) { m.ContentLength, m.Header["Content-Length"] = -1, []string{"3"} },
		"TransferEncoding":      func(m *Request) { m.TransferEncoding = []string{"gzip", "chunked"} },
		"identity":              func(m *Request) { m.TransferEncoding = []string{"identity"} },
		"old, chunks":           func(m *Request) { m.ProtoMinor, m.TransferEncoding = 0, []string{"chunked"} },
		"old, trailer":          func(m *Request) { m.ProtoMinor, m.Trailer = 0, http.Header{"X": {"y"}} },
		"CRLF in a trailer":     func(m *Request) { m.Trailer = http.Header{"X": {"a\r\nY: b"}} },
		"CRLF in its name":      func(m *Request) { m.Trailer = http.Header{"X: y\r\nZ": {"a"}} },
		"length in a trailer":   func(m *Request) { m.Trailer = http.Header{"content-length": {"1"}} },
		"two Trailers":          func(m *Request) { m.Trailer, m.Header = http.Header{"X": {"y"}}, http.Header{"Trailer": {"X"}} },
		"a Body":                func(m *Request) { m.Body = io.NopCloser(strings.NewReader("abc")) },
		"CONNECT with content":  func(m *Request) { m.Method, m.Host = "CONNECT", "a:1" },
		"CONNECT without port":  func(m *Request) { m.Method, m.Content = "CONNECT", nil },
	} {
		t.Run(name, func(t *testing.T) {
			m := newRequest(t, "GET", "http://a/", "abc")
			edit(m)
			refused(t, frame.ErrMalformed, Requests{}.Append, m)
		})
	}
	refused(t, frame.ErrMalformed, Requests{}.Append, nil)
}

func TestAppendRefusesResponses(t *testing.T) {
	for name, edit := range map[string]func(m *Response){
		"no response":         func(m *Response) { m.Response = nil },
		"status 0":            func(m *Response) { m.StatusCode = 0 },
		"status 99":           func(m *Response) { m.StatusCode = 99 },
		"status 1000":         func(m *Response) { m.StatusCode = 1000 },
		"CRLF in the reason":  func(m *Response) { m.Status = "200 OK\r\nX: y" },
		"CRLF in a value":     func(m *Response) { m.Header.Set("X", "a\r\n\r\nHTTP/1.1 200 OK") },
		"CRLF in a name":      func(m *Response) { m.Header["X: y\r\nZ"] = []string{"a"} },
		"204 with content":    func(m *Response) { m.StatusCode = 204 },
		"304 with content":    func(m *Response) { m.StatusCode = 304 },
		"100 with content":    func(m *Response) { m.StatusCode = 100 },
		"101 with content":    func(m *Response) { m.StatusCode = 101 },
		"304 to HEAD":         func(m *Response) { m.StatusCode, m.Request = 304, &http.Request{Method: "HEAD"} },
		"CONNECT":             func(m *Response) { m.Request = &http.Request{Method: "CONNECT"} },
		"204, length":         func(m *Response) { m.StatusCode, m.Content, m.ContentLength = 204, nil, 1 },
		"204, Header":         func(m *Response) { m.StatusCode, m.Content = 204, nil; m.Header.Set("Content-Length", "1") },
		"204, trailer":        func(m *Response) { m.StatusCode, m.Content, m.Trailer = 204, nil, http.Header{"X": {"y"}} },
		"length, no content":  func(m *Response) { m.Content, m.ContentLength = nil, 3 },
		"another length":      func(m *Response) { m.ContentLength = 4 },
		"Header":              func(m *Response) { m.Header.Set("Content-Length", "4") },
		"Header, HEAD":        func(m *Response) { m.Request = &http.Request{Method: "HEAD"}; m.Header.Set("Content-Length", "4") },
		"chunks to 1.0":       func(m *Response) { m.TransferEncoding, m.Request = []string{"chunked"}, &http.Request{ProtoMajor: 1} },
		"trailer to 1.0":      func(m *Response) { m.Trailer, m.Request = http.Header{"X": {"y"}}, &http.Request{ProtoMajor: 1} },
		"100 to 1.0":          func(m *Response) { m.StatusCode, m.Content, m.Request = 100, nil, &http.Request{ProtoMajor: 1} },
		"Transfer-Encoding":   func(m *Response) { m.Header.Set("Transfer-Encoding", "gzip") },
		"Host in a trailer":   func(m *Response) { m.Trailer = http.Header{"Host": {"y"}} },
		"NUL in a trailer":    func(m *Response) { m.Trailer = http.Header{"X": {"\x00"}} },
		"a Body":              func(m *Response) { m.Body = io.NopCloser(strings.NewReader("abc")) },
		"TransferEncoding":    func(m *Response) { m.TransferEncoding = []string{"gzip"} },
		"empty coding":        func(m *Response) { m.Header["Transfer-Encoding"] = []string{""} },
		"a length in letters": func(m *Response) { m.Header.Set("content-length", "three") },
	} {
		t.Run(name, func(t *testing.T) {
			m := &Response{Response: &http.Response{StatusCode: 200, Header: http.Header{}}, Content: []byte("abc")}
			edit(m)
			refused(t, frame.ErrMalformed, Responses{}.Append, m)
		})
	}
	refused(t, frame.ErrMalformed, Responses{}.Append, nil)
}

// refused expects an *Error of a kind, and dst as it was.
func refused[M any](t *testing.T, kind error, encode func([]byte, M) ([]byte, error), m M) {
	t.Helper()
	memory := []byte("before, and room behind it: ....................................................................")
	dst := memory[:6]
	got, err := encode(dst, m)
	var e *frame.Error
	assert.ErrorAs(t, err, &e)
	assert.ErrorIs(t, err, kind)
	assert.Len(t, got, 6, "dst")
	assert.Same(t, &memory[0], &got[0], "dst")
	assert.Equal(t, "before", string(got), "dst")
}

// TestAppendAllocates nothing if there is room.
func TestAppendAllocates(t *testing.T) {
	m := newRequest(t, "POST", "http://example.com/", "hello")
	m.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"x"}, "X": {"1", "2"}}
	m.RequestURI = "/"
	r := &Response{Response: &http.Response{StatusCode: 200, Header: m.Header}, Content: m.Content}
	dst := make([]byte, 0, 4096)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, err1 := Requests{}.Append(dst, m)
		_, err2 := Responses{}.Append(dst, r)
		require.NoError(t, err1)
		require.NoError(t, err2)
	}), "allocations")
}

// TestAppendAgain encodes what has been decoded: the same bytes come out where there is one way to write them.
func TestAppendAgain(t *testing.T) {
	for _, name := range []string{"get", "length", "one chunk", "no chunk", "asterisk", "ipv6", "empty host"} {
		t.Run(name, func(t *testing.T) {
			raw := requestStreams[name]
			m, _, _, err := requests().Decode([]byte(raw))
			require.NoError(t, err)
			got, err := Requests{}.Append(nil, m)
			want := strings.Replace(raw, "Host:\r", "Host: \r", 1)
			assert.NoError(t, err)
			assert.Equal(t, want, string(got))
		})
	}
	for name, s := range responseStreams {
		t.Run(name, func(t *testing.T) {
			if name == "connect refused" || strings.Contains(s.methods, " ") {
				return
			}
			first := drive(t, responses(s.methods), whole(s.raw), false, s.closes, func(m *Response) string {
				again, err := Responses{}.Append(nil, m)
				assert.NoError(t, err)
				return string(again)
			})
			second := drive(t, responses(s.methods), whole(first.Messages[0]), false, false, func(m *Response) string {
				return string(m.Content)
			})
			content := drive(t, responses(s.methods), whole(s.raw), false, s.closes, func(m *Response) string {
				return string(m.Content)
			})
			assert.Equal(t, content.Messages, second.Messages, "through %q", first.Messages)
			assert.Empty(t, second.Err, "through %q", first.Messages)
		})
	}
}

func TestBodyIsContent(t *testing.T) {
	m, _, _, err := requests().Decode([]byte(requestStreams["length"]))
	require.NoError(t, err)
	var b bytes.Buffer
	err = m.Request.Write(&b)
	assert.NoError(t, err, "net/http writes %q", &b)
	assert.True(t, strings.HasSuffix(b.String(), "\r\n\r\nhello world"), "net/http writes %q", &b)
	assert.NoError(t, m.Body.Close())
}

// TestHeadsOfResponsesKeepTheLimits compares with what a decoder of the same limits says, because most heads are not checked
// once more.
func TestHeadsOfResponsesKeepTheLimits(t *testing.T) {
	for name, m := range map[string]*Response{
		"plain": {Response: &http.Response{StatusCode: 200, Header: http.Header{"A": {"1", "2"}, "B": {"3"}, "D": nil}}, Content: []byte("x")},
		"close": {Response: &http.Response{StatusCode: 404, Close: true, Header: http.Header{"A": {"1"}, "Content-Length": {"0"}}}},
		"old":   {Response: &http.Response{StatusCode: 200, Request: &http.Request{ProtoMajor: 1}, Header: http.Header{"A": {" \t"}}}},
		"chunks": {Response: &http.Response{StatusCode: 200, ContentLength: -1, Trailer: http.Header{"X": {"1"}},
			Header: http.Header{"A": {"1", "2"}}}, Content: []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := Responses{}.Append(nil, m)
			require.NoError(t, err)
			size := bytes.Index(whole, []byte("\r\n\r\n")) + 4
			for lines := range 7 {
				for bytes := size - 3; bytes < size+3; bytes++ {
					limits := Limits{HeadLines: lines, HeadBytes: bytes}
					if lines == 0 {
						limits.HeadLines = -1
					}
					_, err := Responses{Limits: limits}.Append(nil, m)
					resolved := limits.resolved()
					_, _, f := (&head{response: true}).scan(whole, &resolved)
					if f == nil {
						assert.NoError(t, err, "%+v", limits)
					} else {
						assert.EqualError(t, err, f.as(responseCodec).Error(), "%+v", limits)
					}
				}
			}
		})
	}
}
