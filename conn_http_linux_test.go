package tandem_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// connClient is a client of net/http over DialConn.
func connClient(t *testing.T, tr tandem.Transport) *http.Client {
	rt := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return tandem.DialConn(ctx, tr, network, address, nil)
		},
	}
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt, Timeout: connPatience}
}

// serveHTTP serves a handler over ListenConn, with TLS if there is a Config.
func serveHTTP(t *testing.T, tr tandem.Transport, h http.Handler, c *tls.Config) (address string) {
	t.Helper()
	l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	address = l.Addr().String()
	if c != nil {
		l = tls.NewListener(l, c)
	}
	s := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, s.Shutdown(context.Background()))
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return address
}

// TestN01_HTTP has net/http serve and ask over Conns, directly and through a ReverseProxy, whose bytes are spliced.
func TestN01_HTTP(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		file := copyFile(t, copied)
		origin := serveHTTP(t, tr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				http.ServeFile(w, r, file.Name())
				return
			}
			_, _ = io.Copy(w, r.Body)
		}), nil)
		target, err := url.Parse("http://" + origin)
		require.NoError(t, err)
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.Transport = connClient(t, tr).Transport
		front := serveHTTP(t, tr, proxy, nil)
		client := connClient(t, tr)
		var all sync.WaitGroup
		for i := range 10 {
			address := []string{origin, front}[i%2]
			all.Go(func() {
				for range 3 {
					res, err := client.Get("http://" + address)
					if !assert.NoError(t, err) {
						return
					}
					p, err := io.ReadAll(res.Body)
					assert.NoError(t, err)
					assert.NoError(t, res.Body.Close())
					assert.Equal(t, len(copied), len(p))
					assert.Equal(t, string(copied[:100]), string(p[:min(100, len(p))]))
					res, err = client.Post("http://"+address, "text/plain", strings.NewReader("over and back"))
					if !assert.NoError(t, err) {
						return
					}
					p, err = io.ReadAll(res.Body)
					assert.NoError(t, err)
					assert.NoError(t, res.Body.Close())
					assert.Equal(t, "over and back", string(p))
				}
			})
		}
		all.Wait()
	})
}

// TestN01_TLS has crypto/tls serve over Conns.
func TestN01_TLS(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		example := httptest.NewTLSServer(nil) // which has a certificate
		example.Close()
		address := serveHTTP(t, tr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }),
			&tls.Config{Certificates: example.TLS.Certificates})
		client := connClient(t, tr)
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is the test's own
		for range 10 {
			res, err := client.Post("https://"+address, "text/plain", strings.NewReader(string(copied)))
			require.NoError(t, err)
			p, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, len(copied), len(p))
		}
	})
}

// TestN01_HTTPTools has curl and wrk load a server of net/http.
func TestN01_HTTPTools(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		address := serveHTTP(t, tr, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }), nil)
		for tool, args := range map[string][]string{
			"curl": {"-sS", "--max-time", "10", "http://" + address + "/[1-20]"},
			"wrk":  {"-t1", "-c32", "-d1s", "http://" + address},
		} {
			if _, err := exec.LookPath(tool); err != nil {
				t.Logf("NOT TESTED: %v", err)
				continue
			}
			out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.NotContains(t, string(out), "Socket errors")
			if tool == "curl" {
				require.Equal(t, strings.Repeat("hello", 20), string(out))
			}
			t.Logf("%s: %s", tool, out)
		}
	})
}
