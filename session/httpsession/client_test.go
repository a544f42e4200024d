package httpsession_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// large is more than any buffer on the way holds.
var large = strings.Repeat("0123456789abcdef", 10<<20/16)

// oracle is net/http's server, which answers in all the ways there are.
func oracle(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Method+" "+r.Host) })
	mux.HandleFunc("/from", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		content, _ := io.ReadAll(r.Body) // before the answer begins, or else the server closes behind it
		_, _ = w.Write(content)
		w.Header().Set("X-Sum", "done")
	})
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, _ *http.Request) {
		for _, s := range []string{"one ", "two ", "three"} {
			_, _ = io.WriteString(w, s)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/status/204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/status/304", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "after hints")
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "the last")
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestClientAgainstNetHTTP(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := oracle(t)
		c, err := httpsession.Connect(tr, server.Listener.Addr().String(), nil)
		require.NoError(t, err)
		defer c.Close()
		var peers []string
		for _, k := range []struct{ method, path, send, want string }{
			{"GET", "/hello", "", "200 GET " + server.Listener.Addr().String()},
			{"GET", "/from", "", ""},
			{"HEAD", "/hello", "", "200 "},
			{"GET", "/chunks", "", "200 one two three"},
			{"GET", "/status/204", "", "204 "},
			{"GET", "/status/304", "", "304 "},
			{"POST", "/echo", "some content", "200 some content"},
			{"PUT", "/echo", large, "200 " + large},
			{"GET", "/large", "", "200 " + large},
			{"GET", "/hints", "", "200 after hints"},
			{"GET", "/nowhere", "", "404 404 page not found\n"},
			{"GET", "/from", "", ""},
		} {
			put(t, c, request(t, k.method, server.URL+k.path, k.send))
			r, err := next(t, c, c)
			require.NoError(t, err, "%s %s", k.method, k.path)
			if k.path == "/from" {
				peers = append(peers, string(r.Content))
			} else {
				assert.Equal(t, k.want, summary(r), "%s %s", k.method, k.path)
			}
			if k.path == "/echo" {
				assert.Equal(t, "done", r.Trailer.Get("X-Sum"), "the trailer of %s %s", k.method, k.path)
			}
		}
		assert.Equal(t, peers[1], peers[0], "the requests came over two connections")
	})
}

func TestClientAfterTheLastResponse(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := oracle(t)
		c, err := httpsession.Connect(tr, server.Listener.Addr().String(), nil)
		require.NoError(t, err)
		defer c.Close()
		put(t, c, request(t, "GET", server.URL+"/close", ""))
		r, err := next(t, c, c)
		require.NoError(t, err)
		require.Equal(t, "200 the last", summary(r))
		_, _, err = c.Write(request(t, "GET", server.URL+"/hello", ""))
		assert.ErrorIs(t, err, net.ErrClosed, "Write after the last response")
		_, err = next(t, c, c)
		assert.Equal(t, io.EOF, err, "Read after the last response")
	})
}

func TestClientRefused(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		_ = l.Close()
		c, err := httpsession.Connect(tr, l.Addr().String(), nil)
		require.NoError(t, err)
		defer c.Close()
		_, err = next(t, c, c)
		assert.Error(t, err)
		assert.Equal(t, polled.Terminated, c.Status())
	})
}

// talk is a Client, and the other end of its connection.
func talk(t *testing.T, o *httpsession.ClientOptions) (*httpsession.Client, *sessiontest.End) {
	a, b := sessiontest.Pair(1 << 20)
	c := httpsession.NewClient(a, o)
	t.Cleanup(func() { _ = c.Close() })
	return c, b
}

// say writes what must have room.
func say(t *testing.T, to *sessiontest.End, text string) {
	t.Helper()
	_, status, err := to.Write([]byte(text))
	require.NoError(t, err)
	require.Equal(t, polled.Success, status)
}

// heard is all that has come to an end.
func heard(t *testing.T, at *sessiontest.End) string {
	t.Helper()
	p, _, err := at.Read()
	require.NoError(t, err)
	return string(bytes.Clone(p))
}

func TestClientPipeline(t *testing.T) {
	c, server := talk(t, &httpsession.ClientOptions{Pipeline: 2})
	put(t, c, request(t, "GET", "http://a/1", ""))
	put(t, c, request(t, "HEAD", "http://a/2", ""))
	third := request(t, "GET", "http://a/3", "")
	rest, status, err := c.Write(third)
	require.NoError(t, err, "a third request")
	require.Equal(t, third, rest, "a third request")
	require.Equal(t, polled.Pending, status, "a third request")
	_, err = c.Drive()
	require.NoError(t, err)
	got := heard(t, server)
	assert.Contains(t, got, "GET /1 ", "the server")
	assert.Contains(t, got, "HEAD /2 ", "the server")
	assert.NotContains(t, got, "/3", "the server")
	// The second has no content, because it answers HEAD.
	say(t, server, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"+
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
	for _, want := range []string{"200 one", "200 "} {
		r, err := next(t, c, c)
		require.NoError(t, err)
		require.Equal(t, want, summary(r))
	}
	assert.Zero(t, c.Outstanding())
	put(t, c, third)
}

func TestClientErrors(t *testing.T) {
	for name, k := range map[string]struct {
		comes string
		want  error
	}{
		"the server finishes before the response": {"", io.ErrUnexpectedEOF},
		"the server finishes within the response": {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\non", io.ErrUnexpectedEOF},
		"no response": {"SSH-2.0-OpenSSH\r\n\r\n", frame.ErrMalformed},
		"too large":   {"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", frame.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			c, server := talk(t, nil)
			put(t, c, request(t, "GET", "http://a/", ""))
			say(t, server, k.comes)
			_, err := c.Drive()
			require.NoError(t, err)
			_ = server.Close()
			_, err = next(t, c)
			assert.ErrorIs(t, err, k.want)
		})
	}
}

func TestClientUntilClose(t *testing.T) {
	c, server := talk(t, nil)
	put(t, c, request(t, "GET", "http://a/", ""))
	say(t, server, "HTTP/1.0 200 OK\r\n\r\nuntil the end")
	_, err := c.Drive()
	require.NoError(t, err)
	_ = server.Close()
	r, err := next(t, c)
	require.NoError(t, err)
	require.Equal(t, "200 until the end", summary(r))
	_, _, err = c.Read()
	assert.Equal(t, io.EOF, err, "Read behind it")
}

func TestClientSwitched(t *testing.T) {
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
	for _, asks := range []bool{false, true} {
		c, server := talk(t, nil)
		r := request(t, "GET", "http://a/", "")
		if asks {
			r.Header.Set("Connection", "upgrade")
			r.Header.Set("Upgrade", "x")
		}
		put(t, c, r)
		say(t, server, switched)
		got, err := next(t, c, c)
		if !asks {
			assert.Error(t, err, "the client had not asked")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, 101, got.StatusCode)
	}
}

// A request that cannot be encoded leaves the connection as it was.
func TestClientBadRequest(t *testing.T) {
	c, server := talk(t, nil)
	bad := request(t, "GET", "http://a/", "")
	bad.Header["X"] = []string{"a\r\nInjected: b"}
	_, _, err := c.Write(bad)
	assert.ErrorIs(t, err, frame.ErrMalformed, "a header with a line feed")
	put(t, c, request(t, "GET", "http://a/", ""))
	_, err = c.Drive()
	require.NoError(t, err)
	got := heard(t, server)
	assert.NotContains(t, got, "Injected", "the server")
	assert.True(t, strings.HasPrefix(got, "GET / HTTP/1.1\r\nHost: a\r\n"), "the server")
}
