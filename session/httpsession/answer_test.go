package httpsession_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// handling runs the test on both backends against a Handler of h.
func handling(t *testing.T, h http.Handler, o *httpsession.ServerOptions, test func(t *testing.T, address string, log *sessiontest.Log)) {
	bothKernels(t, func(t *testing.T, b tandem.Backend) {
		log := &sessiontest.Log{}
		_, address := listenOn(t, &tandem.Options{Backend: b, Logger: slog.New(slog.NewTextHandler(log, nil))}, httpsession.Handler(h, o))
		test(t, address, log)
	})
}

// say sends raw bytes and reads one response.
func sayRaw(t *testing.T, address, request, method string) *http.Response {
	t.Helper()
	c := dialPlain(t, address)
	_, err := io.WriteString(c, request)
	require.NoError(t, err)
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	require.NoError(t, err)
	return r
}

func dialPlain(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// TestBodyEndsWithItsHandler has a handler go on after it has returned. It gets errors, its context has ended, and it
// never sees the bytes of another client.
func TestBodyEndsWithItsHandler(t *testing.T) {
	type late struct {
		body  []byte
		errs  [2]error
		ended error
	}
	results := make(chan late, 1)
	release := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/late" {
			return
		}
		go func() {
			<-release
			p, err := io.ReadAll(r.Body)
			_, writeErr := w.Write([]byte("late"))
			results <- late{p, [2]error{err, writeErr}, r.Context().Err()}
		}()
	})
	handling(t, h, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
		content := strings.Repeat("a", 1000)
		r := sayRaw(t, address, fmt.Sprintf("POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(content), content), "POST")
		require.Equal(t, 200, r.StatusCode)
		other := dialPlain(t, address)
		in := bufio.NewReader(other)
		for range 200 { // what would lie in the same memory
			_, err := fmt.Fprintf(other, "POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 1000\r\n\r\n%s", strings.Repeat("secret  ", 125))
			require.NoError(t, err)
			r, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.NoError(t, r.Body.Close())
		}
		release <- struct{}{}
		got := <-results
		assert.Empty(t, got.body)
		assert.ErrorIs(t, got.errs[0], http.ErrBodyReadAfterClose)
		assert.Error(t, got.errs[1])
		assert.ErrorIs(t, got.ended, context.Canceled)
	})
}

// answers is a handler whose answers depend on method, status or fields.
func answers() http.Handler {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, "<html>")
	_ = z.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader(strings.Repeat("x", 1234)))
	})
	mux.HandleFunc("/same", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "77")
		w.WriteHeader(http.StatusNotModified)
	})
	mux.HandleFunc("/zipped", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
	})
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-More", "43")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		_, local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_, server := r.Context().Value(http.ServerContextKey).(*http.Server)
		_, _ = fmt.Fprint(w, local, server)
	})
	return mux
}

// TestAnswersAsNetHTTP compares answers to those of net/http's server.
func TestAnswersAsNetHTTP(t *testing.T) {
	h := answers()
	their := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = their.Serve(l) }()
	t.Cleanup(func() { _ = their.Close() })
	handling(t, h, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
		for _, q := range []string{
			"GET /file", "HEAD /file", "GET /same", "GET /zipped", "GET /trailer", "HEAD /trailer", "GET /keys", "OPTIONS *", "GET /none",
		} {
			method, _, _ := strings.Cut(q, " ")
			for _, extra := range []string{"", "Expect: the-impossible\r\n"} {
				request := q + " HTTP/1.1\r\nHost: a\r\n" + extra + "\r\n"
				want, got := sayRaw(t, l.Addr().String(), request, method), sayRaw(t, address, request, method)
				assert.Equal(t, want.StatusCode, got.StatusCode, request)
				if want.StatusCode == 200 {
					assert.Equal(t, want.Header.Get("Content-Type"), got.Header.Get("Content-Type"), request)
				}
				if method == http.MethodHead && want.StatusCode == 200 {
					assert.Equal(t, want.Header.Get("Content-Length"), got.Header.Get("Content-Length"), request)
				}
				if got.StatusCode == http.StatusNotModified { // RFC 9110, 8.6; net/http drops it
					assert.Equal(t, "77", got.Header.Get("Content-Length"))
				}
				theirs, err := io.ReadAll(want.Body)
				require.NoError(t, err)
				ours, err := io.ReadAll(got.Body)
				require.NoError(t, err)
				if want.StatusCode == 200 {
					assert.Equal(t, string(theirs), string(ours), request)
				}
				assert.Equal(t, want.Trailer, got.Trailer, request)
			}
		}
	})
}

// TestWrongAnswersAreTold has handlers that make no answer. The client gets a 500, and the log says why.
func TestWrongAnswersAreTold(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "not all of it")
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		_, err := io.WriteString(w, "too much")
		assert.ErrorIs(t, err, http.ErrContentLength)
		_, _ = io.WriteString(w, "ok")
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 3000)) })
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	handling(t, mux, &httpsession.ServerOptions{AnswerBytes: 2000}, func(t *testing.T, address string, log *sessiontest.Log) {
		get := func(path string) *http.Response {
			return sayRaw(t, address, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
		}
		for _, path := range []string{"/short", "/large"} {
			before := strings.Count(log.String(), "level=ERROR")
			assert.Equal(t, 500, get(path).StatusCode, path)
			assert.Equal(t, before+1, strings.Count(log.String(), "level=ERROR"), path)
		}
		r := get("/long")
		p, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		assert.Equal(t, "ok", string(p))
		before := log.String()
		c := dialPlain(t, address)
		_, err = io.WriteString(c, "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		assert.Error(t, err)
		assert.Equal(t, before, log.String(), "http.ErrAbortHandler is not logged")
	})
}

// TestRefusalIsRead uploads what is refused. The answer reaches a client that sends everything before it reads.
func TestRefusalIsRead(t *testing.T) {
	o := &httpsession.ServerOptions{Limits: http1.Limits{BodyBytes: 1 << 16}}
	handling(t, http.NotFoundHandler(), o, func(t *testing.T, address string, _ *sessiontest.Log) {
		for _, head := range []string{
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nExpect: something\r\nContent-Length: 4194304\r\n\r\n",
		} {
			c := dialPlain(t, address)
			_, err := io.WriteString(c, head)
			require.NoError(t, err)
			_, err = c.Write(make([]byte, 4<<20))
			require.NoError(t, err, "the connection was reset while the client sent")
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			assert.Contains(t, []int{413, 417}, r.StatusCode)
		}
	})
}

// TestSlowRequestIsEnded feeds a head, and content, byte by byte.
func TestSlowRequestIsEnded(t *testing.T) {
	o := &httpsession.ServerOptions{MessageTimeout: 150 * time.Millisecond}
	handling(t, http.NotFoundHandler(), o, func(t *testing.T, address string, _ *sessiontest.Log) {
		var clients sync.WaitGroup // side by side, because each closes in stages, which takes two seconds
		for _, begin := range []string{
			"GET / HT",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
		} {
			c := dialPlain(t, address)
			clients.Go(func() { sendSlowly(t, c, begin) })
		}
		clients.Wait()
	})
}

// sendSlowly sends a whole request, then begin, and then a byte each 10 ms, until the server closes.
func sendSlowly(t *testing.T, c net.Conn, begin string) {
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.NoError(t, err)
	time.Sleep(200 * time.Millisecond) // a pause between two messages counts for none
	_, err = io.WriteString(c, begin)
	assert.NoError(t, err)
	for i := 0; err == nil && i < 500; i++ {
		time.Sleep(10 * time.Millisecond) // the pace of the client
		_, err = io.WriteString(c, "x")
	}
	assert.Error(t, err, "the connection lives although its message does not end: %q", begin)
}

// TestHijack takes the connection out of the HTTP server, with every byte behind the request.
func TestHijack(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, again := w.Write([]byte("x"))
		assert.ErrorIs(t, again, http.ErrHijacked)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		go func() {
			defer c.Close()
			line, _ := rw.ReadString('\n')
			_, _ = io.WriteString(c, "heard "+line)
		}()
	})
	handling(t, h, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
		c := dialPlain(t, address)
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhel")
		require.NoError(t, err)
		_, err = io.WriteString(c, "lo\n")
		require.NoError(t, err)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		assert.Equal(t, "HTTP/1.1 101 Switching Protocols\r\n\r\nheard hello\n", string(got))
	})
}
