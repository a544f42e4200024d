package httpsession_test

import (
	"bufio"
	"expvar"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/httpsession"
)

// site is what the handlers of these tests serve.
func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil || r.RemoteAddr == "" {
			http.Error(w, fmt.Sprint(err, r.RemoteAddr), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %s", r.Method, content)
	})
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	mux.HandleFunc("/wrong", func(w http.ResponseWriter, _ *http.Request) { w.Header()["X"] = []string{"a\r\nb: c"} })
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("no") })
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot) // too late
		_, _ = io.WriteString(w, "{}")
	})
	mux.Handle("/debug/vars", expvar.Handler())
	return mux
}

// serving runs the test against a Handler on each Transport that has loops of its own.
func serving(t *testing.T, test func(t *testing.T, address string)) { serves(t, site(), nil, test) }

// serves is serving for another site and other options.
func serves(t *testing.T, site http.Handler, o *tandem.ListenOptions, test func(t *testing.T, address string)) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		if strings.HasSuffix(t.Name(), "-driven") {
			stop, done := make(chan struct{}), make(chan struct{})
			addresses := make(chan string)
			go func() {
				defer close(done)
				l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(site, nil), o)
				if !assert.NoError(t, err) {
					close(addresses)
					return
				}
				addresses <- l.Addr().String()
				for {
					select {
					case <-stop:
						_ = tr.Close()
						return
					default:
						if _, err := tr.Poll(1e6); !assert.NoError(t, err) {
							return
						}
					}
				}
			}()
			defer func() { close(stop); <-done }()
			if address := <-addresses; address != "" {
				test(t, address)
			}
			return
		}
		l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(site, nil), o)
		require.NoError(t, err)
		test(t, l.Addr().String())
	})
}

func TestHandlerAgainstNetHTTP(t *testing.T) {
	serving(t, func(t *testing.T, address string) {
		assert.NoError(t, askNetHTTP("http://"+address))
		for path, want := range map[string]string{
			"/nothing":    "204 []",
			"/wrong":      "500 [text/plain; charset=utf-8] Internal Server Error\n",
			"/json":       "202 [application/json] {}",
			"/":           "200 [text/plain; charset=utf-8] GET ",
			"/debug/vars": "200 [application/json; charset=utf-8] {",
		} {
			r, err := http.Get("http://" + address + path)
			if !assert.NoError(t, err, path) {
				continue
			}
			content, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			assert.NoError(t, err, path)
			got := strings.TrimSuffix(fmt.Sprintf("%d %v %s", r.StatusCode, r.Header["Content-Type"], content), " ")
			want = strings.TrimSuffix(want, " ")
			assert.True(t, strings.HasPrefix(got, want), "%s: %q; want %q", path, got, want)
			if r.StatusCode == 200 {
				assert.NotEmpty(t, r.Header.Get("Date"), path)
			}
			http.DefaultClient.CloseIdleConnections()
		}
		_, err := http.Get("http://" + address + "/panic")
		assert.Error(t, err, "/panic was answered")
	})
}

// exchange sends text on a connection of its own, and returns all that comes until its end.
func exchange(t *testing.T, address, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	got, err := io.ReadAll(c)
	assert.NoError(t, err)
	return string(got)
}

func TestHandlerOnTheWire(t *testing.T) {
	serving(t, func(t *testing.T, address string) {
		got := exchange(t, address, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+
			"HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /close HTTP/1.1\r\nHost: a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n")
		assert.Equal(t, 4, strings.Count(got, "HTTP/1.1 200 OK\r\n"), "a pipeline")
		assert.Contains(t, got, "POST abc", "a pipeline")
		assert.NotContains(t, got, "HEAD ", "a pipeline")
		got = exchange(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost : a\r\n\r\n")
		assert.Contains(t, got, "HTTP/1.1 200 ", "a bad request")
		assert.Contains(t, got, "HTTP/1.1 400 ", "a bad request")
		assert.Contains(t, got, "Connection: close\r\n", "a bad request")
		got = exchange(t, address, "GET / HTTP/1.0\r\n\r\n")
		assert.Contains(t, got, " 200 OK\r\n", "an old client")
		assert.True(t, strings.HasSuffix(got, "GET "), "an old client")
	})
}

func TestHandlerContinue(t *testing.T) {
	serving(t, func(t *testing.T, address string) {
		c, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer c.Close()
		_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
		_, _ = io.WriteString(c, "cont")
		rest, err := io.ReadAll(r)
		assert.NoError(t, err)
		assert.NotContains(t, string(rest), "100 Continue")
		assert.True(t, strings.HasSuffix(string(rest), "PUT cont"))
	})
}
