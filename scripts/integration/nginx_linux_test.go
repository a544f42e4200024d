package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// nginxConf is of a server of files that needs nothing beside its folder. It goes on with blocks of servers.
const nginxConf = `
%[3]s
daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/errors;
events {}
http {
	access_log off;
	default_type text/plain;
	client_max_body_size 100m;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	%[2]s
}
`

// nginx starts one whose first server is at the address.
func nginx(t *testing.T, dir, address, servers, modules string) {
	t.Helper()
	conf := filepath.Join(dir, "conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, servers, modules), 0o644))
	start(t, exec.Command(tool(t, "nginx", "/usr/sbin/nginx"), "-p", dir, "-c", conf, "-e", filepath.Join(dir, "errors")), syscall.SIGTERM, "tcp", address)
}

// TestHTTPClientNginx has a client over DialConn ask nginx, over TCP and a Unix socket.
func TestHTTPClientNginx(t *testing.T) {
	dir := folder(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "files"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "files", "large"), large, 0o644))
	address := net.JoinHostPort(freeAddress(t))
	socket := filepath.Join(dir, "socket")
	nginx(t, dir, address, fmt.Sprintf(`server {
		listen %s;
		listen unix:%s;
		root %s/files;
		location = /hello { return 200 "hello"; }
		location = /connection { return 200 "$connection"; }
		location = /nothing { return 204; }
		location = /close { keepalive_timeout 0; return 200 "close"; }
	}`, address, socket, dir), "")
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		for network, address := range map[string]string{"tcp": address, "unix": socket} {
			c := httpClient(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
				return tandem.DialConn(ctx, tr, network, address, nil)
			})
			askNginx(t, c)
		}
	})
}

func askNginx(t *testing.T, c *http.Client) {
	var connections []string
	for _, k := range []struct {
		method, path, ranges string
		status               int
		want                 string
	}{
		{"GET", "/connection", "", 200, ""},
		{"GET", "/hello", "", 200, "hello"},
		{"HEAD", "/hello", "", 200, ""},
		{"GET", "/large", "", 200, string(large)},
		{"HEAD", "/large", "", 200, ""},
		{"GET", "/large", "bytes=5-5000004", 206, string(large[5:5000005])},
		{"GET", "/large", "bytes=10000000-", 416, ""},
		{"GET", "/nothing", "", 204, ""},
		{"GET", "/connection", "", 200, ""},
		{"GET", "/close", "", 200, "close"},
		{"GET", "/connection", "", 200, ""},
	} {
		res, p := ask(t, c, k.method, "http://nginx"+k.path, nil, func(r *http.Request) {
			if k.ranges != "" {
				r.Header.Set("Range", k.ranges)
			}
		})
		what := k.method + " " + k.path + " " + k.ranges
		require.Equal(t, k.status, res.StatusCode, what)
		if k.path == "/connection" {
			connections = append(connections, string(p))
		} else if k.status != 416 {
			sameBytes(t, []byte(k.want), p, what)
		}
		if k.path == "/large" && k.status == 200 {
			require.EqualValues(t, len(large), res.ContentLength, what)
		}
	}
	assert.Equal(t, connections[0], connections[1], "one connection was used throughout")
	assert.NotEqual(t, connections[1], connections[2], "nginx closed it then")
}

// TestNginxInFront has nginx pass requests on to a server of net/http over ListenConn, on connections that it keeps.
func TestNginxInFront(t *testing.T) {
	curl := tool(t, "curl")
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l := listen(t, tr)
		serve(t, l, handler(t), nil)
		dir := folder(t)
		address := net.JoinHostPort(freeAddress(t))
		nginx(t, dir, address, fmt.Sprintf(`
	upstream origin { server %s; keepalive 8; }
	server {
		listen %s;
		location / {
			proxy_pass http://origin;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_max_temp_file_size 0;
			proxy_request_buffering off;
		}
	}`, l.Addr(), address), "")
		c := httpClient(t, (&net.Dialer{}).DialContext)
		clientAsks(t, c, "http://"+address)
		out := run(t, nil, curl, "-sS", "--noproxy", "*", "http://"+address+"/hello?[1-50]")
		require.Equal(t, strings.Repeat("hello", 50), out)
		assert.Less(t, tr.Stats().Conns.Opened, uint64(30), "nginx keeps connections")
		_, p := ask(t, c, "GET", "http://"+address+"/refuse", nil, nil)
		require.Equal(t, "no\n", string(p))
		_, err := c.Post("http://"+address+"/sum", "", io.MultiReader(strings.NewReader("begun"), broken{}))
		require.ErrorIs(t, err, errBroken)
	})
}
