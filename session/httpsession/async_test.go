package httpsession_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// TestAsyncPanics resets the connection and tells the exchange, wherever the panic is.
func TestAsyncPanics(t *testing.T) {
	ends := make(chan error, 10)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := any("no")
		if strings.HasPrefix(r.URL.Path, "/abort") {
			v = http.ErrAbortHandler
		}
		_, err := httpsession.StartAsync(w, httpsession.AsyncEvents{
			Data:  func([]byte) { panic(v) },
			Close: func(err error) { ends <- err },
		})
		assert.NoError(t, err)
		if strings.HasSuffix(r.URL.Path, "/handler") {
			panic(v)
		}
	})
	handling(t, h, &httpsession.ServerOptions{Parts: inParts}, func(t *testing.T, address string, log *sessiontest.Log) {
		for _, path := range []string{"/panic/handler", "/panic/data", "/abort/handler", "/abort/data"} {
			before := strings.Count(log.String(), "panic")
			c := dialPlain(t, address)
			_, err := io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			assert.Error(t, err, path)
			var panicked *session.PanicError
			select {
			case err := <-ends:
				assert.Equal(t, strings.HasPrefix(path, "/panic"), errors.As(err, &panicked), "%s: %v", path, err)
			case <-time.After(patience):
				require.FailNow(t, "Close was not called", path)
			}
			assert.Equal(t, strings.HasPrefix(path, "/panic"), strings.Count(log.String(), "panic") > before, "%s in the log", path)
		}
		assert.Empty(t, ends)
	})
}

// TestBlockingPanics: as on the loop.
func TestBlockingPanics(t *testing.T) {
	h := httpsession.Blocking(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			panic("no such thing")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "well")
	}))
	handling(t, h, nil, func(t *testing.T, address string, log *sessiontest.Log) {
		for _, path := range []string{"/abort", "/panic"} {
			c := dialPlain(t, address)
			_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			assert.Error(t, err, path)
			assert.Equal(t, path == "/panic", strings.Contains(log.String(), "no such thing"), "%s: %s", path, log)
		}
		assert.True(t, strings.HasSuffix(exchange(t, address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "well"))
	})
}

// TestAsyncDrains has a response end when the Transport shuts down, and the Transport wait for it.
func TestAsyncDrains(t *testing.T) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr := open(t, &tandem.Options{Backend: b})
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				var x *httpsession.Async
				x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{Drain: func() {
					x.Stream().After(20*time.Millisecond, func() {
						_, _ = io.WriteString(x, "last")
						_ = x.Close()
					})
				}})
				assert.NoError(t, err)
				_, _ = io.WriteString(x, "first ")
				x.Flush()
			})
			l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(h, nil), nil)
			require.NoError(t, err)
			r, err := http.Get("http://" + l.Addr().String())
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var down sync.WaitGroup
			down.Go(func() { assert.NoError(t, tr.Shutdown(ctx)) })
			got, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, "first last", string(got))
			http.DefaultClient.CloseIdleConnections()
			down.Wait()
		})
	}
}

// TestPartsOverTLS has an upload and a download at once, encrypted, and through a proxy of net/http that a Handler serves.
func TestPartsOverTLS(t *testing.T) {
	echo := httpsession.Blocking(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(w, r.Body)
		w.Header().Set(http.TrailerPrefix+"X-Sum", fmt.Sprint(n, err))
	}))
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr := open(t, &tandem.Options{Backend: b})
			secure, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(echo, nil), &tandem.ListenOptions{TLS: serverTLS()})
			require.NoError(t, err)
			target := &url.URL{Scheme: "https", Host: secure.Addr().String()}
			proxy := httputil.NewSingleHostReverseProxy(target)
			transport := &http.Transport{TLSClientConfig: clientTLS()}
			defer transport.CloseIdleConnections()
			proxy.Transport = transport
			plain, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(httpsession.Blocking(proxy), nil), nil)
			require.NoError(t, err)
			for _, to := range []string{target.String(), "http://" + plain.Addr().String()} {
				c := &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
				r, err := c.Post(to, "text/plain", io.MultiReader(strings.NewReader(middling)))
				require.NoError(t, err)
				got, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				assert.True(t, string(got) == middling, "%d bytes", len(got))
				assert.Equal(t, fmt.Sprint(len(middling), " <nil>"), r.Trailer.Get("X-Sum"))
				c.CloseIdleConnections()
			}
		})
	}
}

// TestHalfClosedClient gets its whole response with AllowHalfClose, and a reset without.
func TestHalfClosedClient(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{})
		assert.NoError(t, err)
		_, _ = io.WriteString(x, "first ")
		x.Flush()
		x.Stream().After(50*time.Millisecond, func() {
			_, _ = io.WriteString(x, "last")
			_ = x.Close()
		})
	})
	for _, allowed := range []bool{true, false} {
		o := &tandem.ListenOptions{}
		o.AllowHalfClose = allowed
		t.Run(fmt.Sprintf("allowed %v", allowed), func(t *testing.T) {
			serves(t, h, o, func(t *testing.T, address string) {
				c := dialPlain(t, address)
				_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				require.NoError(t, err)
				require.NoError(t, c.(*net.TCPConn).CloseWrite())
				r, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err == nil {
					var got []byte
					got, err = io.ReadAll(r.Body)
					assert.Equal(t, allowed, string(got) == "first last", "%q", got)
				}
				assert.Equal(t, allowed, err == nil, "allowed %v: %v", allowed, err)
				assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			})
		})
	}
}
