package httpsession_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
		if err != nil {
			t.Fatal(err)
		}
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
			if err != nil {
				t.Fatalf("%s %s: %v", k.method, k.path, err)
			}
			switch {
			case k.path == "/from":
				peers = append(peers, string(r.Content))
			case summary(r) != k.want:
				t.Errorf("%s %s: %.100s; want %.100s", k.method, k.path, summary(r), k.want)
			}
			if k.path == "/echo" && r.Trailer.Get("X-Sum") != "done" {
				t.Errorf("%s %s: the trailer is %v", k.method, k.path, r.Trailer)
			}
		}
		if peers[0] != peers[1] {
			t.Errorf("the requests came over two connections: %v", peers)
		}
	})
}

func TestClientAfterTheLastResponse(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := oracle(t)
		c, err := httpsession.Connect(tr, server.Listener.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		put(t, c, request(t, "GET", server.URL+"/close", ""))
		if r, err := next(t, c, c); err != nil || summary(r) != "200 the last" {
			t.Fatal(r, err)
		}
		if _, _, err := c.Write(request(t, "GET", server.URL+"/hello", "")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after the last response: %v", err)
		}
		if _, err := next(t, c, c); err != io.EOF {
			t.Errorf("Read after the last response: %v", err)
		}
	})
}

func TestClientRefused(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		c, err := httpsession.Connect(tr, l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := next(t, c, c); err == nil || c.Status() != polled.Terminated {
			t.Errorf("%v, and the status is %v", err, c.Status())
		}
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
	if _, status, err := to.Write([]byte(text)); err != nil || status != polled.Success {
		t.Fatal(status, err)
	}
}

// heard is all that has come to an end.
func heard(t *testing.T, at *sessiontest.End) string {
	t.Helper()
	p, _, err := at.Read()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Clone(p))
}

func TestClientPipeline(t *testing.T) {
	c, server := talk(t, &httpsession.ClientOptions{Pipeline: 2})
	put(t, c, request(t, "GET", "http://a/1", ""))
	put(t, c, request(t, "HEAD", "http://a/2", ""))
	third := request(t, "GET", "http://a/3", "")
	if rest, status, err := c.Write(third); rest != third || status != polled.Pending || err != nil {
		t.Fatalf("a third request: %v %v", status, err)
	}
	if _, err := c.Drive(); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, server); !strings.Contains(got, "GET /1 ") || !strings.Contains(got, "HEAD /2 ") || strings.Contains(got, "/3") {
		t.Errorf("the server got %q", got)
	}
	// The second has no content, because it answers HEAD.
	say(t, server, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"+
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
	for _, want := range []string{"200 one", "200 "} {
		if r, err := next(t, c, c); err != nil || summary(r) != want {
			t.Fatal(r, err)
		}
	}
	if n := c.Outstanding(); n != 0 {
		t.Errorf("%d requests have no response", n)
	}
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
			if _, err := c.Drive(); err != nil {
				t.Fatal(err)
			}
			_ = server.Close()
			if _, err := next(t, c); !errors.Is(err, k.want) {
				t.Errorf("%v; want %v", err, k.want)
			}
		})
	}
}

func TestClientUntilClose(t *testing.T) {
	c, server := talk(t, nil)
	put(t, c, request(t, "GET", "http://a/", ""))
	say(t, server, "HTTP/1.0 200 OK\r\n\r\nuntil the end")
	if _, err := c.Drive(); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	if r, err := next(t, c); err != nil || summary(r) != "200 until the end" {
		t.Fatal(r, err)
	}
	if _, _, err := c.Read(); err != io.EOF {
		t.Errorf("Read behind it: %v", err)
	}
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
		if asks && (err != nil || got.StatusCode != 101) || !asks && err == nil {
			t.Errorf("asked %v: %v %v", asks, got, err)
		}
	}
}

// A request that cannot be encoded leaves the connection as it was.
func TestClientBadRequest(t *testing.T) {
	c, server := talk(t, nil)
	bad := request(t, "GET", "http://a/", "")
	bad.Header["X"] = []string{"a\r\nInjected: b"}
	if _, _, err := c.Write(bad); !errors.Is(err, frame.ErrMalformed) {
		t.Errorf("a header with a line feed: %v", err)
	}
	put(t, c, request(t, "GET", "http://a/", ""))
	if _, err := c.Drive(); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, server); strings.Contains(got, "Injected") || !strings.HasPrefix(got, "GET / HTTP/1.1\r\nHost: a\r\n") {
		t.Errorf("the server got %q", got)
	}
}
