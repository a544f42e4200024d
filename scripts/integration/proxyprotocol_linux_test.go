package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// headers are the versions of PROXY headers that a server has seen.
type headers struct {
	mu   sync.Mutex
	seen map[byte]int
}

// behind has net/http serve over ListenConn behind somebody who sends PROXY headers. A connection without one is refused.
func behind(t *testing.T, tr tandem.Transport) (address string, seen *headers) {
	t.Helper()
	inner := listen(t, tr)
	l := &proxyproto.Listener{
		Listener: inner, ReadHeaderTimeout: patience,
		ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil },
	}
	seen = &headers{seen: map[byte]int{}}
	serveBy(t, &http.Server{Handler: handler(t), ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, seen, c)
	}, ConnState: func(c net.Conn, s http.ConnState) {
		if h := c.(*proxyproto.Conn).ProxyHeader(); s == http.StateActive && h != nil {
			seen.mu.Lock()
			defer seen.mu.Unlock()
			seen.seen[h.Version]++
		}
	}}, l)
	return inner.Addr().String(), seen
}

// haproxyConf is of one that sends PROXY headers, of both versions, and one that speaks HTTP and looks whether the server
// lives.
const haproxyConf = `
global
	nbthread 1
defaults
	timeout connect 10s
	timeout client 30s
	timeout server 30s
	timeout check 30s
listen v1
	mode tcp
	bind %[1]s
	server s %[4]s send-proxy
listen v2
	mode tcp
	bind %[2]s
	server s %[4]s send-proxy-v2 proxy-v2-options unique-id,crc32c
	unique-id-format %%{+X}o%%ci:%%cp
listen http
	mode http
	bind %[3]s
	option httpchk GET /hello
	http-reuse always
	server s %[4]s send-proxy-v2 check check-send-proxy inter 20ms fall 100
`

// TestProxyProtocolHAProxy has HAProxy pass connections on to a listener, and say where they came from.
func TestProxyProtocolHAProxy(t *testing.T) {
	haproxy := tool(t, "haproxy", "/usr/sbin/haproxy")
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		address, seen := behind(t, tr)
		v1, v2, inHTTP := net.JoinHostPort(freeAddress(t)), net.JoinHostPort(freeAddress(t)), net.JoinHostPort(freeAddress(t))
		conf := writeFile(t, "haproxy.conf", fmt.Appendf(nil, haproxyConf, v1, v2, inHTTP, address))
		start(t, exec.Command(haproxy, "-db", "-f", conf), syscall.SIGTERM, "tcp", inHTTP)
		t.Run("v1", func(t *testing.T) { throughProxy(t, v1, 1, seen) })
		t.Run("v2", func(t *testing.T) { throughProxy(t, v2, 2, seen) })
		t.Run("http", func(t *testing.T) { throughProxy(t, inHTTP, 2, seen) })
	})
}

// TestProxyProtocolNginx has nginx do so, which knows version 1 only.
func TestProxyProtocolNginx(t *testing.T) {
	load := streamModule(t)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		address, seen := behind(t, tr)
		front := net.JoinHostPort(freeAddress(t))
		nginx(t, folder(t), front, "", load+fmt.Sprintf("\nstream { server { listen %s; proxy_pass %s; proxy_protocol on; } }", front, address))
		throughProxy(t, front, 1, seen)
	})
}

// streamModule is what nginx needs in its configuration to pass connections on. Debian has it in libnginx-mod-stream.
func streamModule(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(tool(t, "nginx", "/usr/sbin/nginx"), "-V").CombinedOutput()
	require.NoError(t, err)
	if strings.Contains(string(out), "--with-stream ") {
		return ""
	}
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err = os.Stat(module); err != nil && !inCI() {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	return "load_module " + module + ";"
}

// throughProxy asks a server behind a proxy, which learns where the connection came from by a header of a version.
func throughProxy(t *testing.T, front string, version byte, seen *headers) {
	var local net.Addr
	c := httpClient(t, func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, front)
		if err == nil {
			local = conn.LocalAddr()
		}
		return conn, err
	})
	seen.mu.Lock()
	clear(seen.seen)
	seen.mu.Unlock()
	_, p := ask(t, c, "GET", "http://"+front+"/from", nil, nil)
	assert.Equal(t, local.String(), string(p), "where the connection came from")
	seen.mu.Lock()
	assert.Positive(t, seen.seen[version], "headers of each version: %v", seen.seen)
	seen.mu.Unlock()
	clientAsks(t, httpClient(t, (&net.Dialer{}).DialContext), "http://"+front)
}

// TestProxyProtocol has a client over DialConn send headers itself.
func TestProxyProtocol(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		address, _ := behind(t, tr)
		headersByHand(t, tr, address)
	})
}

// headersByHand sends headers in pieces, with what follows in the same piece, wrong ones and none.
func headersByHand(t *testing.T, tr tandem.Transport, address string) {
	const request = "GET /from HTTP/1.0\r\n\r\n"
	one := "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"
	two := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\xd2\x00\x50"
	for name, k := range map[string]struct {
		sent   []string
		answer string
	}{
		"v1, at once":  {[]string{one + request}, "192.0.2.1:1234"},
		"v2, at once":  {[]string{two + request}, "192.0.2.1:1234"},
		"v2, in bytes": {strings.Split(two+request, ""), "192.0.2.1:1234"},
		"none":         {[]string{request}, ""},
		"wrong":        {[]string{"PROXY TCP4 192.0.2.1 192.0.2.2 66000 80\r\n", request}, ""},
	} {
		c, err := tandem.DialConn(t.Context(), tr, "tcp", address, nil)
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		for _, p := range k.sent {
			_, err := io.WriteString(c, p)
			if k.answer != "" {
				require.NoError(t, err, name)
			}
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if k.answer == "" {
			if err == nil {
				require.Equal(t, http.StatusBadRequest, res.StatusCode, name)
			}
			_ = c.Close()
			continue
		}
		require.NoError(t, err, name)
		p, err := io.ReadAll(res.Body)
		require.NoError(t, err, name)
		require.Equal(t, k.answer, string(p), name)
		require.NoError(t, c.Close())
	}
}
