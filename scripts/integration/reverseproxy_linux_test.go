package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// upgraded is a handler that leaves HTTP, and sends back what comes until the peer ends, and a last word.
func upgraded(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			http.Error(w, "upgrade to what?", http.StatusBadRequest)
			return
		}
		c, b, err := w.(http.Hijacker).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer c.Close()
		_, err = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		assert.NoError(t, err)
		early := make([]byte, b.Reader.Buffered())
		_, err = io.ReadFull(b.Reader, early)
		assert.NoError(t, err)
		_, err = c.Write(early)
		assert.NoError(t, err)
		_, err = io.Copy(c, c) // spliced
		assert.NoError(t, err)
		_, err = io.WriteString(c, "bye")
		assert.NoError(t, err)
	}
}

// upgrade leaves HTTP on a connection, sends 10 MB, the early ones with the request, and reads them back.
func upgrade(t *testing.T, c net.Conn, early int) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err := fmt.Fprintf(c, "GET /upgrade HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n%s", large[:early])
	require.NoError(t, err)
	b := bufio.NewReader(c)
	res, err := http.ReadResponse(b, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	require.Equal(t, "echo", res.Header.Get("Upgrade"))
	go func() {
		_, err := c.Write(large[early:])
		assert.NoError(t, err)
		assert.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
	}()
	p, err := io.ReadAll(b)
	require.NoError(t, err)
	sameBytes(t, append(append([]byte(nil), large...), "bye"...), p, "the upgraded connection")
}

// TestReverseProxy has a ReverseProxy over ListenConn pass requests on over DialConn: bodies, streams, and connections
// that leave HTTP.
func TestReverseProxy(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		origin, front := listen(t, tr), listen(t, tr)
		m := http.NewServeMux()
		m.Handle("/", handler(t))
		m.Handle("/upgrade", upgraded(t))
		serve(t, origin, m, nil)
		target, err := url.Parse("http://" + origin.Addr().String())
		require.NoError(t, err)
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.Transport = httpClient(t, dialer(tr)).Transport
		proxy.FlushInterval = -1
		proxy.ErrorLog = log.New(io.Discard, "", 0)
		serve(t, front, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/lines" {
				assert.NoError(t, http.NewResponseController(w).EnableFullDuplex())
			}
			proxy.ServeHTTP(w, r)
		}), nil)
		url := "http://" + front.Addr().String()
		for name, dial := range map[string]func(ctx context.Context, network, address string) (net.Conn, error){
			"from net": (&net.Dialer{}).DialContext, "all ours": dialer(tr),
		} {
			t.Run(name, func(t *testing.T) {
				c := httpClient(t, dial)
				clientAsks(t, c, url)
				upAndDown(t, c, url)
				for range 3 {
					conn, err := dial(t.Context(), "tcp", front.Addr().String())
					require.NoError(t, err)
					upgrade(t, conn, 0) // ReverseProxy drops early ones
					require.NoError(t, conn.Close())
				}
			})
		}
		res, err := httpClient(t, dialer(tr)).Post(url+"/sum", "", broken{})
		if err == nil {
			_ = res.Body.Close()
		}
		require.ErrorIs(t, err, errBroken)
	})
}

// TestUpgrade has connections leave HTTP at once, and by way of a relay that splices.
func TestUpgrade(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l, between := listen(t, tr), listen(t, tr)
		serve(t, l, upgraded(t), nil)
		relay(t, between, func() (net.Conn, error) { return tandem.DialConn(t.Context(), tr, "tcp", l.Addr().String(), nil) })
		for _, address := range []string{l.Addr().String(), between.Addr().String()} {
			theirs, err := net.Dial("tcp", address)
			require.NoError(t, err)
			upgrade(t, theirs, 100)
			require.NoError(t, theirs.Close())
			ours, err := tandem.DialConn(t.Context(), tr, "tcp", address, nil)
			require.NoError(t, err)
			upgrade(t, ours, 100)
			require.NoError(t, ours.Close())
		}
	})
}
