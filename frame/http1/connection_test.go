package http1

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// got is a message that has to be there.
func got[M any](t *testing.T, d frame.Decoder[M], p string) (M, string) {
	t.Helper()
	m, n, need, err := d.Decode([]byte(p))
	require.NoError(t, err, "%q", p)
	require.Zero(t, need, "%q", p)
	return m, p[n:]
}

// nothing expects that there is no message, and returns what was not consumed.
func nothing[M any](t *testing.T, d frame.Decoder[M], p string) string {
	t.Helper()
	_, n, need, err := d.Decode([]byte(p))
	require.NoError(t, err, "%q", p)
	require.NotZero(t, need, "%q", p)
	return p[n:]
}

func TestPendingRequest(t *testing.T) {
	d := requests()
	nothing(t, d, "PUT /x HTTP/1.1\r\nHost: a\r\n")
	assert.Nil(t, d.Pending(), "after half a head")
	const head = "PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
	rest := nothing(t, d, head)
	m := d.Pending()
	require.NotNil(t, m)
	require.Equal(t, "/x", m.URL.Path)
	require.EqualValues(t, 5, m.ContentLength)
	require.True(t, m.ExpectsContinue())
	require.Empty(t, rest)
	rest = nothing(t, d, "hell")
	assert.Equal(t, "hell", rest)
	whole, _ := got(t, d, "hello")
	assert.Same(t, m, whole)
	assert.Equal(t, "hello", string(m.Content))
	assert.Nil(t, d.Pending())
}

func TestExpectsContinue(t *testing.T) {
	for fields, want := range map[string]bool{
		"HTTP/1.1\r\nHost: a\r\nExpect: 100-continue": true,
		"HTTP/1.1\r\nHost: a\r\nexpect: 100-CONTINUE": true,
		"HTTP/1.1\r\nHost: a\r\nExpect: 200-ok":       false,
		"HTTP/1.1\r\nHost: a":                         false,
		"HTTP/1.0\r\nExpect: 100-continue":            false,
	} {
		t.Run(fields, func(t *testing.T) {
			m, _ := got(t, requests(), "GET / "+fields+"\r\n\r\n")
			assert.Equal(t, want, m.ExpectsContinue())
		})
	}
}

func TestPendingResponse(t *testing.T) {
	d := responses("GET")
	nothing(t, d, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na")
	m := d.Pending()
	require.NotNil(t, m)
	require.Equal(t, 200, m.StatusCode)
	require.Equal(t, 1, d.Outstanding())
	whole, _ := got(t, d, "\r\n0\r\n\r\n")
	assert.Same(t, m, whole)
	assert.Equal(t, "a", string(m.Content))
	assert.Nil(t, d.Pending())
	assert.Zero(t, d.Outstanding())
}

func TestKeepAlive(t *testing.T) {
	for fields, want := range map[string]bool{
		"HTTP/1.1\r\nHost: a":                                      true,
		"HTTP/1.1\r\nHost: a\r\nConnection: close":                 false,
		"HTTP/1.1\r\nHost: a\r\nConnection: a,b\t, CLOSE":          false,
		"HTTP/1.1\r\nHost: a\r\nConnection: a\r\nconnection:close": false,
		"HTTP/1.1\r\nHost: a\r\nConnection: closed":                true,
		"HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close":     false,
		"HTTP/1.0":                                  false,
		"HTTP/1.0\r\nConnection: keep-alive":        true,
		"HTTP/1.0\r\nConnection: Keep-Alive, close": false,
	} {
		t.Run(fields, func(t *testing.T) {
			d := requests()
			m, _ := got(t, d, "GET / "+fields+"\r\n\r\n")
			assert.Equal(t, want, m.KeepAlive(), "request %q", fields)
			answer := &Response{Response: &http.Response{StatusCode: 200, Request: m.Request}}
			bytes, err := Responses{}.Append(nil, answer)
			require.NoError(t, err)
			r, _ := got(t, responses("GET"), string(bytes))
			assert.Equal(t, want, answer.KeepAlive(), "the answer to %q: %q", fields, bytes)
			assert.Equal(t, want, r.KeepAlive(), "the answer to %q: %q", fields, bytes)
			assert.NotEqual(t, want, r.Close, "the answer to %q: %q", fields, bytes)
		})
	}
	for raw, want := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                           true,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n":      false,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n":                           false,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n": true,
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n":                   false,
		"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n":                     true,
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                               false,
	} {
		t.Run(raw, func(t *testing.T) {
			m, _ := got(t, responses("GET"), raw)
			assert.Equal(t, want, m.KeepAlive())
			if m.Interim() || m.Switched() {
				assert.False(t, m.Close)
			}
		})
	}
	m, _, _ := responsesEnd(t, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nabc")
	assert.False(t, m.KeepAlive(), "content until close, and the connection goes on")
	assert.True(t, m.Close, "content until close, and the connection goes on")
}

func responsesEnd(t *testing.T, raw string) (*Response, *ResponseDecoder, string) {
	t.Helper()
	d := responses("GET")
	rest := nothing(t, d, raw)
	m, ok, err := d.End([]byte(rest))
	require.NoError(t, err)
	require.True(t, ok)
	return m, d, rest
}

// TestAfterTheEnd ends a connection that was ended by the end of a message.
func TestAfterTheEnd(t *testing.T) {
	_, d, _ := responsesEnd(t, "HTTP/1.1 200 OK\r\n\r\nabc")
	m, ok, err := d.End(nil)
	assert.NoError(t, err)
	assert.Nil(t, m)
	assert.False(t, ok)
	assert.Empty(t, nothing(t, d, "junk"))
	server := requests()
	got(t, server, "GET / HTTP/1.0\r\n\r\n")
	assert.Empty(t, nothing(t, server, "GET / HTTP/1.0\r\n\r\n"))
	request, ok, err := server.End(nil)
	assert.NoError(t, err)
	assert.Nil(t, request)
	assert.False(t, ok)
}

func TestSwitched(t *testing.T) {
	for methods, raw := range map[string]string{
		"GET":     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"CONNECT": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
	} {
		t.Run(methods, func(t *testing.T) {
			d := responses(methods + " GET")
			m, rest := got(t, d, raw+"HTTP/1.1 200 OK\r\n")
			assert.True(t, m.Switched())
			assert.False(t, m.Interim())
			assert.False(t, m.KeepAlive())
			assert.False(t, m.Close)
			assert.Empty(t, m.Content)
			assert.Equal(t, "HTTP/1.1 200 OK\r\n", nothing(t, d, rest))
			_, ok, err := d.End([]byte(rest))
			assert.NoError(t, err)
			assert.False(t, ok)
		})
	}
	m, _ := got(t, responses("CONNECT"), "HTTP/1.1 407 Proxy\r\nContent-Length: 0\r\n\r\n")
	assert.False(t, m.Switched(), "a CONNECT that was refused has switched")
	assert.True(t, m.KeepAlive(), "a CONNECT that was refused has switched")
}

func TestConnectIsHeld(t *testing.T) {
	const connect, more = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	d := requests()
	m, rest := got(t, d, connect+more)
	require.Equal(t, "a:1", m.Host)
	require.Equal(t, http.MethodConnect, m.Method)
	require.Equal(t, more, nothing(t, d, rest))
	d.Resume()
	m, _ = got(t, d, rest)
	assert.Equal(t, http.MethodGet, m.Method)
	d.Resume() // nothing is held
	_, rest = got(t, d, connect+more)
	d.Switch()
	d.Resume()
	assert.Equal(t, more, nothing(t, d, rest))
	_, ok, err := d.End([]byte(rest))
	assert.NoError(t, err)
	assert.False(t, ok)
	d.Reset()
	got(t, d, more)

	d = requests()
	got(t, d, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	d.Switch()
	assert.Equal(t, "\x00\x01", nothing(t, d, "\x00\x01"))
}

func TestExpect(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
	d := Responses{}.NewResponseDecoder()
	methods, answered := []string{"GET", "HEAD", "POST", "HEAD", "HEAD"}, 0
	for i := range 1000 { // as a client with a pipeline of up to some requests
		d.Expect(methods[i%len(methods)])
		if i%3 == 2 {
			continue
		}
		for range 1 + i%3 {
			if d.Outstanding() == 0 {
				break
			}
			method := methods[answered%len(methods)]
			interim, _ := got(t, d, "HTTP/1.1 102 Processing\r\n\r\n")
			raw := ok
			if method != "HEAD" {
				raw += "ab"
			}
			m, rest := got(t, d, raw)
			require.Equal(t, method, m.Request.Method, "answer %d", answered)
			require.Equal(t, method, interim.Request.Method, "answer %d", answered)
			require.Empty(t, rest, "answer %d", answered)
			answered++
		}
		require.Equal(t, i+1-answered, d.Outstanding())
	}
	assert.GreaterOrEqual(t, answered, 600)
	assert.LessOrEqual(t, cap(d.asked), 1024)
}

// TestExpectForEver keeps one request outstanding: the queue does not grow.
func TestExpectForEver(t *testing.T) {
	d := responses("HEAD")
	for range 10_000 {
		d.Expect("HEAD")
		got(t, d, "HTTP/1.1 200 OK\r\n\r\n")
	}
	assert.LessOrEqual(t, cap(d.asked), 16)
	assert.Equal(t, 1, d.Outstanding())
}

func TestReset(t *testing.T) {
	d := responses("GET HEAD")
	nothing(t, d, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
	d.Reset()
	assert.Zero(t, d.Outstanding())
	assert.Nil(t, d.Pending())
	d.Expect("GET")
	m, _ := got(t, d, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
	assert.Equal(t, "x", string(m.Content))
	_, _, _, err := d.Decode([]byte("x"))
	require.Error(t, err, "an answer to nothing")
	d.Reset()
	d.Expect("GET")
	got(t, d, "HTTP/1.1 204 No Content\r\n\r\n")

	server := Requests{Limits: Limits{BodyBytes: 1}}.NewRequestDecoder()
	const long = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
	for range 2 {
		_, _, _, err := server.Decode([]byte(long))
		require.Error(t, err)
		require.Equal(t, 413, server.Status())
		server.Reset()
		assert.Zero(t, server.Status(), "something is left of before")
		assert.Nil(t, server.Pending(), "something is left of before")
	}
}

// TestContentIsLent looks whose memory Content is.
func TestContentIsLent(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		lent bool
	}{
		"length":     {requestStreams["length"], true},
		"one chunk":  {requestStreams["one chunk"], true},
		"two chunks": {requestStreams["chunks"], false},
	} {
		t.Run(name, func(t *testing.T) {
			p := []byte(c.raw)
			m, _, _, err := requests().Decode(p)
			require.NoError(t, err)
			require.NotEmpty(t, m.Content)
			first := m.Content[0]
			at := slices.Index(p, first)
			for i := range p {
				p[i] = '!'
			}
			lent := m.Content[0] != first
			assert.Equal(t, c.lent, lent)
			assert.GreaterOrEqual(t, at, 0)
			assert.NotContains(t, m.Method+m.Host+m.RequestURI+showHeader(m.Header), "!", "the head is a part of p: %s", showRequest(m))
			longer := append(m.Content, "?"...)
			assert.NotSame(t, &m.Content[0], &longer[0], "what is appended to Content is written over the caller's bytes")
			assert.NotContains(t, string(p), "?", "what is appended to Content is written over the caller's bytes")
		})
	}
}

// TestChunksAreGiven takes two messages from one decoder: the second leaves the first alone.
func TestChunksAreGiven(t *testing.T) {
	d := requests()
	body := "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
	first, _ := got(t, d, chunkedHead+body)
	second, _ := got(t, d, chunkedHead+strings.ToUpper(body))
	assert.Equal(t, "abc", string(first.Content))
	assert.Equal(t, "ABC", string(second.Content))
}

// TestNothingStays has a second message on a connection that knows nothing of the first.
func TestNothingStays(t *testing.T) {
	long := "1;" + strings.Repeat("x", 1000) + "\r\n?\r\n"
	d := requests()
	first, _ := got(t, d, "\r\n"+chunkedHead+strings.Repeat(long, 16)+"0\r\nX: y\r\n\r\n")
	second, _ := got(t, d, "\r\n"+chunkedHead+strings.Repeat(long, 16)+"0\r\n\r\n")
	third, _ := got(t, d, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.Len(t, first.Trailer, 1)
	assert.Nil(t, second.Trailer)
	assert.Nil(t, third.Trailer)
	assert.Len(t, second.Content, 16)
	assert.Nil(t, third.Content)
}

// TestFailureKeepsNothing of the content that came before it.
func TestFailureKeepsNothing(t *testing.T) {
	d := requests()
	nothing(t, d, chunkedHead+"5\r\nhel")
	require.Len(t, d.body.kept, 3)
	_, _, _, err := d.Decode([]byte("lo, and more"))
	assert.Error(t, err)
	assert.Zero(t, d.body.len())
	assert.Zero(t, cap(d.body.kept))
}

// TestDecodeAllocates counts what a small request costs beyond net/http's own reading of its head.
func TestDecodeAllocates(t *testing.T) {
	p := []byte(requestStreams["length"])
	codec := requests()
	ours := fewestAllocs(func() {
		codec.Reset()
		_, _, _, err := codec.Decode(p)
		require.NoError(t, err)
	})
	theirs := fewestAllocs(func() {
		require.Nil(t, readHead(p))
	})
	assert.LessOrEqual(t, ours, theirs+1)
}

// fewestAllocs is what f allocates when the pools have what it wants. Under the race detector they lose things at random.
func fewestAllocs(f func()) float64 {
	fewest := testing.AllocsPerRun(1, f)
	for range 200 {
		fewest = min(fewest, testing.AllocsPerRun(1, f))
	}
	return fewest
}

func readHead(p []byte) *fault {
	return readWith(p, func(r *bufio.Reader) error {
		_, err := http.ReadRequest(r)
		return err
	})
}
