package httpsession_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// shouter is the protocol behind the switch: it answers with what comes, in upper case.
type shouter struct {
	tandem.BaseHandler
	ended chan error // nil: nobody asks
}

func (shouter) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	_, _ = s.Write([]byte(strings.ToUpper(string(p))))
}

func (h shouter) OnClose(_ *tandem.Stream, err error) {
	if h.ended != nil {
		h.ended <- err
	}
}

// switching is a site that hands streams over.
func switching(ended chan error) http.Handler {
	h := shouter{ended: ended}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			s, err := httpsession.HandOver(w, 200, h)
			if err == nil {
				_, _ = s.Write([]byte("tunnel\n"))
			}
		case r.URL.Path == "/switch", r.URL.Path == "/panic":
			w.Header().Set("Upgrade", "shout")
			w.Header().Set("Connection", "upgrade")
			s, err := httpsession.HandOver(wrapped{w}, 101, h)
			if err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			if r.URL.Path == "/panic" {
				panic(http.ErrAbortHandler)
			}
			_, err = w.Write(nil)
			_, again := httpsession.HandOver(w, 101, h)
			_, _ = fmt.Fprintf(s, "%v %v\n", err == http.ErrHijacked, again == http.ErrHijacked)
		default:
			_, _ = io.WriteString(w, r.URL.Path)
		}
	})
}

// wrapped is a ResponseWriter of a middleware.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

const (
	askSwitch  = "GET /switch HTTP/1.1\r\nHost: a\r\nUpgrade: shout\r\nConnection: upgrade\r\n\r\n"
	askConnect = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"
)

// TestHandOver has requests in front of the one that switches, and bytes of the other protocol behind it, in one piece.
func TestHandOver(t *testing.T) {
	for _, k := range []struct{ name, ask, status, says string }{
		{"101", askSwitch, "HTTP/1.1 101 Switching Protocols\r\n", "true true\n"}, {"CONNECT", askConnect, "HTTP/1.1 200 OK\r\n", "tunnel\n"},
	} {
		t.Run(k.name, func(t *testing.T) { handsOver(t, k.ask, k.status, k.says) })
	}
}

func handsOver(t *testing.T, ask, status, says string) {
	ended := make(chan error, 100)
	serves(t, switching(ended), nil, func(t *testing.T, address string) {
		c := dialPlain(t, address)
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		_, err := io.WriteString(c, "GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n"+ask+"behind the request; GET / HTTP/1.1\r\n\r\n")
		require.NoError(t, err)
		want := "BEHIND THE REQUEST; GET / HTTP/1.1\r\n\r\n"
		got := readUntil(t, c, want)
		one, two, head := strings.Index(got, "/one"), strings.Index(got, "/two"), strings.LastIndex(got, status)
		assert.True(t, 0 < one && one < two && two < head, "%q", got)
		assert.Contains(t, got, "\r\n\r\n"+says+want)
		_, err = io.WriteString(c, "more")
		require.NoError(t, err)
		readUntil(t, c, "MORE")
		require.NoError(t, c.Close())
		select {
		case err := <-ended:
			assert.NoError(t, err)
		case <-time.After(patience):
			require.Fail(t, "no OnClose")
		}
	})
}

// readUntil reads until the end of what came is end.
func readUntil(t *testing.T, r io.Reader, end string) string {
	t.Helper()
	var got []byte
	for p := make([]byte, 4096); !strings.HasSuffix(string(got), end); {
		n, err := r.Read(p)
		got = append(got, p[:n]...)
		require.NoError(t, err, "%q came, and not %q", got, end)
	}
	return string(got)
}

func TestHandOverFails(t *testing.T) {
	kept := make(chan http.ResponseWriter, 1)
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept <- w
		status := 101
		switch r.URL.Path {
		case "/200":
			status = 200
		case "/written":
			_, _ = io.WriteString(w, "written ")
		case "/header":
			w.Header()["X"] = []string{"a\r\nb: c"}
		case "/foreign":
			w = struct{ http.ResponseWriter }{w}
		}
		_, err := httpsession.HandOver(w, status, shouter{})
		w.Header().Del("X")
		http.Error(w, err.Error(), http.StatusBadRequest)
	})
	serves(t, site, nil, func(t *testing.T, address string) {
		for path, want := range map[string]string{
			"/200": "does not end HTTP", "/written": "written already", "/header": "X", "/foreign": "unsupported operation",
		} {
			got := exchange(t, address, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			assert.Contains(t, got, want, path)
			_, err := httpsession.HandOver(<-kept, 101, shouter{})
			assert.ErrorContains(t, err, "has returned", path)
		}
		got := exchange(t, address, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n")
		assert.Contains(t, got, "does not end HTTP", "101 to CONNECT")
		<-kept
		got = exchange(t, address, "GET /old HTTP/1.0\r\n\r\n")
		assert.Contains(t, got, "HTTP/1.0", "101 to HTTP/1.0")
		<-kept
	})
}

// TestHandOverAndPanic resets a stream whose http.Handler panics behind HandOver, and tells the other handler.
func TestHandOverAndPanic(t *testing.T) {
	ended := make(chan error, 10)
	serves(t, switching(ended), nil, func(t *testing.T, address string) {
		c := dialPlain(t, address)
		_, err := io.WriteString(c, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		_, err = io.ReadAll(c)
		assert.Error(t, err)
		select {
		case err := <-ended:
			assert.ErrorIs(t, err, net.ErrClosed)
		case <-time.After(patience):
			require.Fail(t, "no OnClose")
		}
	})
}

// TestHandOverSimulated cuts and delays everything.
func TestHandOverSimulated(t *testing.T) {
	for seed := range uint64(60) {
		for _, ask := range []string{askSwitch, askConnect} {
			k := simulated.New(simulated.Config{Seed: seed, Faults: simulated.Rough()})
			tr, err := tandem.Simulated(k, nil)
			require.NoError(t, err)
			l, err := tr.Listen("tcp", "localhost:0", httpsession.Handler(switching(nil), nil), nil)
			require.NoError(t, err)
			p, err := k.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			p.Send([]byte("GET /one HTTP/1.1\r\nHost: a\r\n\r\n" + ask))
			p.Send([]byte("behind the request"))
			require.NoError(t, k.Run(func() bool { return strings.HasSuffix(string(p.Received()), "BEHIND THE REQUEST") }, tr), "seed %d: %q", seed, p.Received())
			p.Send([]byte("more"))
			p.Finish()
			require.NoError(t, k.Run(p.EOF, tr), "seed %d", seed)
			require.True(t, strings.HasSuffix(string(p.Received()), "BEHIND THE REQUESTMORE"), "seed %d: %q", seed, p.Received())
			require.NoError(t, tr.Close())
		}
	}
}

// TestAsk dials a server, and takes the stream over; or learns why not.
func TestAsk(t *testing.T) { //nolint:funlen // one story, in order
	site := switching(nil)
	for seed := range uint64(40) {
		k := simulated.New(simulated.Config{Seed: seed, Faults: simulated.Rough()})
		tr, err := tandem.Simulated(k, nil)
		require.NoError(t, err)
		l, err := tr.Listen("tcp", "localhost:0", httpsession.Handler(site, nil), nil)
		require.NoError(t, err)
		q := request(t, "GET", "http://a/switch", "")
		q.Header.Set("Upgrade", "shout")
		q.Header.Set("Connection", "upgrade")
		l2 := &listener{}
		h, err := httpsession.Ask(q, nil, func(s *tandem.Stream, r *http1.Response, err error) {
			require.NoError(t, err)
			require.True(t, r.Switched())
			s.SetHandler(l2)
			_, err = s.Write([]byte("hello"))
			require.NoError(t, err)
		})
		require.NoError(t, err)
		s, err := tr.Connect("tcp", l.Addr().String(), h, nil)
		require.NoError(t, err)
		require.NoError(t, k.Run(func() bool { return l2.got == "true true\nHELLO" }, tr), "seed %d: %q", seed, l2.got)
		_ = s.Close()

		calls := 0
		for _, path := range []string{"/plain", "/nowhere"} {
			var got *http1.Response
			h, err = httpsession.Ask(request(t, "GET", "http://a"+path, ""), nil, func(_ *tandem.Stream, r *http1.Response, err error) {
				require.NoError(t, err)
				calls++
				got = r
				require.Equal(t, path, string(r.Content))
			})
			require.NoError(t, err)
			_, err = tr.Connect("tcp", l.Addr().String(), h, nil)
			require.NoError(t, err)
			require.NoError(t, k.Run(func() bool { return got != nil && tr.Stats().Streams == 0 }, tr))
		}
		require.Equal(t, 2, calls)

		for name, answer := range map[string]string{"FIN": "", "half": "HTTP/1.1 200 OK\r\nContent-L", "unasked": "HTTP/1.1 101 X\r\n\r\n", "garbage": "hello\r\n\r\n"} {
			nl, err := k.Listen("tcp", "localhost:0")
			require.NoError(t, err)
			var failure error
			h, err = httpsession.Ask(request(t, "GET", "http://a/", ""), nil, func(_ *tandem.Stream, r *http1.Response, err error) {
				calls++
				failure = err
				require.Nil(t, r)
			})
			require.NoError(t, err)
			_, err = tr.Connect("tcp", nl.Addr().String(), h, nil)
			require.NoError(t, err)
			var peer *simulated.Peer
			require.NoError(t, k.Run(func() bool {
				if all := nl.Peers(); peer == nil && len(all) > 0 {
					peer = all[0]
					peer.Send([]byte(answer))
					peer.Finish()
				}
				return failure != nil && tr.Stats().Streams == 0
			}, tr), name)
			if answer == "" || name == "half" {
				require.ErrorIs(t, failure, io.ErrUnexpectedEOF, name)
			}
		}
		require.Equal(t, 6, calls)
		require.NoError(t, tr.Close())
	}
	_, err := httpsession.Ask(request(t, "A B", "http://a/", ""), nil, func(*tandem.Stream, *http1.Response, error) {})
	require.Error(t, err)
	_, err = httpsession.Ask(request(t, "GET", "http://a/", ""), nil, nil)
	require.Error(t, err)
}

// listener collects what comes.
type listener struct {
	tandem.BaseHandler
	got string
}

func (l *listener) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	l.got += string(p)
}

// TestPolledHandOver has a Server and a Client, or an Exchange, hand their connections over.
func TestPolledHandOver(t *testing.T) { //nolint:funlen // one story, in order
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		for _, method := range []string{"GET", "CONNECT"} {
			a, err := polled.Listen(tr, "tcp", "127.0.0.1:0", nil)
			require.NoError(t, err)
			peer := dialPlain(t, a.Addr().String())
			ask := askSwitch
			if method == "CONNECT" {
				ask = askConnect
			}
			_, err = io.WriteString(peer, "GET /one HTTP/1.1\r\nHost: a\r\n\r\n"+ask+"behind GET")
			require.NoError(t, err)
			var inner *polled.StreamSession
			until(t, func() bool {
				s, ok, err := a.Accept()
				require.NoError(t, err)
				inner = s
				return ok
			})
			server := httpsession.NewServer(inner, nil)
			_, err = next(t, server, server)
			require.NoError(t, err)
			r, err := next(t, server, server)
			require.NoError(t, err)
			require.Equal(t, method, r.Method)
			for range 10 {
				_, status, err := server.Read()
				require.NoError(t, err)
				require.NotEqual(t, polled.Data, status)
			}
			put(t, server, response(200, "one"))
			_, err = server.HandOver()
			require.Error(t, err)
			if method == "GET" {
				r := response(101, "")
				r.Header.Set("Upgrade", "shout")
				put(t, server, r)
			} else {
				put(t, server, response(200, ""))
			}
			b, err := server.HandOver()
			require.NoError(t, err)
			_, _, err = server.Read()
			require.Error(t, err)
			got := ""
			until(t, func() bool {
				p, err := next(t, b, driver(b))
				require.NoError(t, err)
				got += string(p)
				return got == "behind GET"
			})
			put(t, b, []byte("through"))
			all := ""
			p := make([]byte, 1000)
			require.NoError(t, peer.SetReadDeadline(time.Now().Add(patience)))
			for !strings.HasSuffix(all, "\r\n\r\nthrough") {
				_, err := b.Drive()
				require.NoError(t, err)
				require.NoError(t, peer.SetReadDeadline(time.Now().Add(time.Millisecond)))
				n, err := peer.Read(p)
				if err != nil {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded, "%q", all)
				}
				all += string(p[:n])
			}
			require.NoError(t, b.Close())
			require.NoError(t, a.Close())
		}
	})
}

// TestPolledClientHandsOver is TestClientHandsOn for sessions.
func TestPolledClientHandsOver(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		address := upgrading(t)
		q := request(t, "GET", "http://"+address+"/", "")
		q.Header.Set("Upgrade", "x")
		q.Header.Set("Connection", "upgrade")
		client, err := httpsession.Connect(tr, address, nil)
		require.NoError(t, err)
		_, err = client.HandOver()
		require.Error(t, err)
		put(t, client, q)
		_, err = next(t, client, client)
		require.NoError(t, err)
		b, err := client.HandOver()
		require.NoError(t, err)
		talks(t, b)
		require.NoError(t, b.Close())

		address = upgrading(t)
		q = request(t, "GET", "http://"+address+"/", "")
		q.Header.Set("Upgrade", "x")
		q.Header.Set("Connection", "upgrade")
		pool := httpsession.NewPool(tr, nil)
		x, err := pool.Do(q)
		require.NoError(t, err)
		_, err = x.HandOver()
		require.Error(t, err)
		_, err = next(t, x, x)
		require.NoError(t, err)
		b, err = x.HandOver()
		require.NoError(t, err)
		require.Zero(t, pool.Open())
		talks(t, b)
		require.NoError(t, b.Close())
		require.NoError(t, x.Close())
	})
}

// talks reads what came behind the head, and talks.
func talks(t *testing.T, b polled.Bytes) {
	t.Helper()
	put(t, b, []byte("hello"))
	got := ""
	until(t, func() bool {
		p, err := next(t, b, driver(b))
		require.NoError(t, err)
		got += string(p)
		return got == "behind the headhello"
	})
}
