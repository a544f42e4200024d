package httpsession_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// streams is a site whose handlers flush. They run under net/http too.
func streams() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/flushed", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "part %d;", i)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "6")
		_, _ = io.WriteString(w, "abc")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "def")
		_, err := io.WriteString(w, "!")
		if err != http.ErrContentLength {
			panic(err)
		}
	})
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-More", "43")
	})
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		w.(http.Flusher).Flush()
		if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
			panic(err)
		}
	})
	mux.HandleFunc("/head", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		w.Header().Set("X-Late", "1")
		w.WriteHeader(http.StatusTeapot)
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "after hints")
	})
	return mux
}

// TestPartsAsNetHTTP compares responses in parts with those of net/http's server: on the loop, on a goroutine, to clients of
// HTTP/1.1 and 1.0.
func TestPartsAsNetHTTP(t *testing.T) {
	h := streams()
	their := theirs(t, h)
	for name, own := range map[string]http.Handler{"loop": h, "blocking": httpsession.Blocking(h)} {
		t.Run(name, func(t *testing.T) {
			handling(t, own, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
				for _, path := range []string{"/flushed", "/length", "/trailer", "/nothing", "/head", "/hints"} {
					for _, method := range []string{"GET", "HEAD"} {
						for _, version := range []string{"1.1", "1.0"} {
							if path == "/hints" && version == "1.0" {
								continue // net/http sends 1xx to clients of HTTP/1.0, which RFC 9110, 15.2, forbids
							}
							q := fmt.Sprintf("%s %s HTTP/%s\r\nHost: a\r\n\r\n", method, path, version)
							assert.Equal(t, shown(t, their, q, method), shown(t, address, q, method), q)
						}
					}
				}
			})
		})
	}
}

// theirs is a server of net/http.
func theirs(t *testing.T, h http.Handler) string {
	t.Helper()
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// shown is what a server answers, with interim responses.
func shown(t *testing.T, address, request, method string) string {
	t.Helper()
	c := dialPlain(t, address)
	_, err := io.WriteString(c, request)
	require.NoError(t, err)
	in := bufio.NewReader(c)
	var all strings.Builder
	for {
		r, err := http.ReadResponse(in, &http.Request{Method: method})
		require.NoError(t, err, "%s, after %s", request, all.String())
		content, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		r.Header.Del("Date")
		r.Header.Del("Trailer") // net/http announces trailers that never come
		_, _ = fmt.Fprintf(&all, "%s %v %v close %v %q trailer %v\n", r.Status, r.Header, r.TransferEncoding, r.Close, content, r.Trailer)
		if r.StatusCode >= 200 {
			return all.String()
		}
	}
}

// TestPartsStayInOrder pipelines requests behind a response that goes on after its handler has returned.
func TestPartsStayInOrder(t *testing.T) {
	var first atomic.Pointer[httpsession.Async]
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/first" {
			_, _ = io.WriteString(w, "["+r.URL.Path+"]")
			return
		}
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{})
		if !assert.NoError(t, err) {
			return
		}
		_, _ = io.WriteString(x, "one ")
		x.Flush()
		first.Store(x)
	})
	handling(t, h, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
		first.Store(nil)
		c := dialPlain(t, address)
		_, err := io.WriteString(c, "GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		until(t, func() bool { return first.Load() != nil })
		_, err = io.WriteString(c, "GET /third HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		require.NoError(t, err)
		x := first.Load()
		_, err = io.WriteString(x, "two")
		require.NoError(t, err)
		require.NoError(t, x.Close())
		require.NoError(t, x.Close(), "a second time")
		_, err = io.WriteString(x, "late")
		require.Error(t, err)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		in := bufio.NewReader(bytes.NewReader(got))
		for _, want := range []string{"one two", "[/second]", "[/third]"} {
			r, err := http.ReadResponse(in, nil)
			require.NoError(t, err, "%q", got)
			content, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.Equal(t, want, string(content))
		}
	})
}

// TestAsyncLearnsThatTheClientLeaves: by FIN and by reset, once, and the context ends.
func TestAsyncLearnsThatTheClientLeaves(t *testing.T) {
	type end struct {
		err error
		ctx error
	}
	ends := make(chan end, 10)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{Close: func(err error) { ends <- end{err, r.Context().Err()} }})
		if !assert.NoError(t, err) {
			return
		}
		x.Stream().Every(time.Millisecond, func() {
			_, _ = io.WriteString(x, "data: tick\n\n")
			x.Flush()
		})
	})
	handling(t, h, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
		for _, reset := range []bool{false, true} {
			c := dialPlain(t, address)
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			require.Equal(t, "text/event-stream", r.Header.Get("Content-Type"))
			_, err = io.ReadFull(r.Body, make([]byte, 3*len("data: tick\n\n")))
			require.NoError(t, err)
			if reset {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			_ = c.Close()
			select {
			case got := <-ends:
				assert.Error(t, got.err)
				assert.ErrorIs(t, got.ctx, context.Canceled)
			case <-time.After(patience):
				require.FailNow(t, "Close was not called")
			}
		}
		assert.Empty(t, ends, "Close was called twice")
	})
}

// TestSlowReaderBoundsMemory has a client that does not read. Neither kind of handler queues more than a little beyond
// HighWater.
func TestSlowReaderBoundsMemory(t *testing.T) {
	const size = 24 << 20
	piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<10)
	var most atomic.Int64
	note := func(s *session.Stream) {
		if n := int64(s.Queued()); n > most.Load() {
			most.Store(n)
		}
	}
	loop := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var x *httpsession.Async
		left := size
		push := func() {
			for left > 0 && x.Writable() {
				n, err := x.Write(piece)
				if err != nil {
					return
				}
				left -= n
				note(x.Stream())
			}
			if left == 0 {
				_ = x.Close()
			}
		}
		x, _ = httpsession.StartAsync(w, httpsession.AsyncEvents{Writable: push})
		push()
	})
	blocking := httpsession.Blocking(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for left := size; left > 0; {
			n, err := w.Write(piece)
			if err != nil {
				return
			}
			left -= n
		}
	}))
	for name, h := range map[string]http.Handler{"loop": loop, "blocking": blocking} {
		t.Run(name, func(t *testing.T) {
			handling(t, h, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
				most.Store(0)
				c := dialPlain(t, address)
				_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				require.NoError(t, err)
				time.Sleep(50 * time.Millisecond) // the client is slow
				before := heap()
				assert.Less(t, before, uint64(size), "bytes on the heap while the client does not read")
				r, err := http.ReadResponse(bufio.NewReader(c), nil)
				require.NoError(t, err)
				n, err := io.Copy(io.Discard, r.Body)
				require.NoError(t, err)
				assert.EqualValues(t, size, n)
				assert.Less(t, most.Load(), int64(512<<10), "bytes queued")
			})
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestEarlyHintsReachNetHTTP sends 103 before the answer.
func TestEarlyHintsReachNetHTTP(t *testing.T) {
	handling(t, streams(), nil, func(t *testing.T, address string, _ *sessiontest.Log) {
		var links []string
		r, err := http.NewRequest("GET", "http://"+address+"/hints", nil)
		require.NoError(t, err)
		r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			links = append(links, fmt.Sprint(code, " ", h.Get("Link")))
			return nil
		}}))
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		_ = answer.Body.Close()
		assert.Equal(t, []string{"103 </style.css>; rel=preload"}, links)
		http.DefaultClient.CloseIdleConnections()
	})
}
