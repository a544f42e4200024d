package httpsession_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// openRaw runs a RawHandler on one backend.
func openRaw(t testing.TB, o *tandem.Options, fn func(*httpsession.RawExchange), so *httpsession.ServerOptions) (tandem.Transport, string) {
	return listenOn(t, o, httpsession.RawHandler(fn, so))
}

// TestRawHandlerAllocatesNothing sends requests, 16 at a time, one of which comes in two pieces.
func TestRawHandlerAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	bothKernels(t, func(t *testing.T, b tandem.Backend) {
		var s *tandem.Stream
		tr, address := openRaw(t, &tandem.Options{Backend: b, CallerDriven: true}, func(x *httpsession.RawExchange) {
			s = x.Stream()
			_ = x.Response.Add("Content-Type", "text/plain")
			if string(x.Request.Get("accept")) == "*/*" {
				_, _ = x.Response.Write(x.Request.Content)
			}
		}, nil)
		c, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer c.Close()
		ask := []byte(strings.Repeat("GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", 15) +
			"POST /a HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nContent-Length: 5\r\n\r\nhello")
		const date = "Date: Fri, 27 Nov 2026 18:00:00 GMT\r\n"
		length := 16*len("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+date+"Content-Type: text/plain\r\n\r\n") + len("hello")
		answers, got := make([]byte, length), uint64(0)
		exchange := func() {
			got += uint64(length)
			_, _ = c.Write(ask[:len(ask)-2])
			_, _ = tr.Poll(1e6)
			_, _ = c.Write(ask[len(ask)-2:])
			for s == nil || s.Stats().BytesSent < got {
				_, _ = tr.Poll(1e6)
			}
			_, _ = io.ReadFull(c, answers)
		}
		exchange()
		require.True(t, strings.HasSuffix(string(answers), "\r\n\r\nhello"), "%q", answers)
		require.Zero(t, testing.AllocsPerRun(1000, exchange))
	})
}

// TestRawHandlerPanics resets the connection of a function that panics, and no other, and logs what was not meant.
func TestRawHandlerPanics(t *testing.T) {
	bothKernels(t, func(t *testing.T, b tandem.Backend) {
		log := &sessiontest.Log{}
		_, address := openRaw(t, &tandem.Options{Backend: b, Logger: slog.New(slog.NewTextHandler(log, nil))}, rawSite, nil)
		other := dialPlain(t, address)
		for _, path := range []string{"/abort", "/panic"} {
			c := dialPlain(t, address)
			_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			_, err = io.ReadAll(c)
			assert.Error(t, err, "%s did not reset", path)
			_, err = io.WriteString(other, "GET /teapot HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			r, err := http.ReadResponse(bufio.NewReader(other), nil)
			require.NoError(t, err)
			content, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.Equal(t, "418 short and stout", fmt.Sprint(r.StatusCode, " ", string(content)))
			assert.Equal(t, path == "/panic", strings.Contains(log.String(), "panic"), "%s: %s", path, log)
		}
	})
}

// TestRawHandlerTimes has clients that stop at every place, as TestTimes.
func TestRawHandlerTimes(t *testing.T) {
	const limit = 200 * time.Millisecond
	for name, k := range map[string]struct {
		options httpsession.ServerOptions
		sends   string
	}{
		"no head":     {httpsession.ServerOptions{ReadHeaderTimeout: limit}, ""},
		"half a head": {httpsession.ServerOptions{ReadHeaderTimeout: limit}, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"},
		"idle":        {httpsession.ServerOptions{IdleTimeout: limit}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		"content":     {httpsession.ServerOptions{MessageTimeout: limit}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothKernels(t, func(t *testing.T, b tandem.Backend) {
				_, address := openRaw(t, &tandem.Options{Backend: b}, rawSite, &k.options)
				begin := time.Now()
				c := dialPlain(t, address)
				_, err := io.WriteString(c, k.sends)
				require.NoError(t, err)
				all, err := io.ReadAll(c)
				require.NoError(t, err)
				assert.GreaterOrEqual(t, time.Since(begin), limit)
				answers := strings.Count(k.sends, "\r\n\r\n")
				if name == "content" {
					answers = 0
				}
				assert.Equal(t, answers, strings.Count(string(all), "HTTP/1.1 200 "), "%q", all)
			})
		})
	}
}

// TestRawHandlerWithTLS answers over TLS, small and large.
func TestRawHandlerWithTLS(t *testing.T) {
	bothKernels(t, func(t *testing.T, b tandem.Backend) {
		tr, _ := openRaw(t, &tandem.Options{Backend: b}, rawSite, nil)
		l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.RawHandler(func(x *httpsession.RawExchange) {
			if _, secure := x.Stream().TLS(); !secure {
				x.Response.Status = http.StatusUpgradeRequired
				return
			}
			rawSite(x)
		}, nil), &tandem.ListenOptions{TLS: serverTLS()})
		require.NoError(t, err)
		c, err := tls.Dial("tcp", l.Addr().String(), clientTLS())
		require.NoError(t, err)
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = io.WriteString(c, strings.Repeat("GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /teapot HTTP/1.1\r\nHost: a\r\n\r\n", 5))
		require.NoError(t, err)
		in := bufio.NewReader(c)
		for i := range 10 {
			r, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			content, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.True(t, string(content) == [...]string{large, "short and stout"}[i%2], "answer %d: %.100q", i, content)
		}
	})
}
