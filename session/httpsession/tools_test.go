package httpsession_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// Programs that others wrote: curl and wrk against a Handler, a Client against nginx. Where they are missing the test is
// skipped, loudly; with TANDEM_REQUIRE_TOOLS=1 it fails.

// tool finds a program.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("TANDEM_REQUIRE_TOOLS") != "1" {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	return path
}

// run runs a program to its end, and returns what it printed.
func run(t *testing.T, stdin io.Reader, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, path, args...)
	c.Stdin = stdin
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s %q:\n%s", path, args, out)
	return string(out)
}

func TestCurl(t *testing.T) {
	curl := tool(t, "curl")
	serving(t, func(t *testing.T, address string) {
		file := filepath.Join(t.TempDir(), "large")
		require.NoError(t, os.WriteFile(file, []byte(large), 0o600))
		url := "http://" + address
		for _, k := range []struct {
			args []string
			want string
		}{
			{[]string{url + "/"}, "GET "},
			{[]string{"--http1.0", url + "/"}, "GET "},
			{[]string{"-I", "-w", "%{http_code}", "-o", os.DevNull, url + "/"}, "200"},
			{[]string{"-d", "hello", url + "/"}, "POST hello"},
			{[]string{"-d", "hello", "-H", "Transfer-Encoding: chunked", url + "/"}, "POST hello"},
			{[]string{"-d", "hello", "-H", "Expect: 100-continue", url + "/"}, "POST hello"},
			{[]string{"-T", file, url + "/"}, "PUT " + large},
			{[]string{"-w", "%{http_code} %{num_connects} ", url + "/nothing", "-w", "%{http_code} %{num_connects} ", url + "/nothing"}, "204 1 204 0 "},
			{[]string{"-w", "%{http_code} %{num_connects} ", url + "/close", url + "/nothing"}, "200 1 204 1 "},
		} {
			got := run(t, nil, curl, append([]string{"-sS", "--noproxy", "*"}, k.args...)...)
			assert.Equal(t, k.want, got, "curl %q", k.args)
		}
	})
}

func TestWrk(t *testing.T) {
	wrk := tool(t, "wrk")
	requests := regexp.MustCompile(`(\d+) requests in`)
	serving(t, func(t *testing.T, address string) {
		got := run(t, nil, wrk, "-t", "1", "-c", "16", "-d", "1s", "http://"+address+"/")
		assert.NotContains(t, got, "Non-2xx", "wrk says")
		assert.NotContains(t, got, "Socket errors", "wrk says")
		m := requests.FindStringSubmatch(got)
		require.NotNil(t, m, "wrk made no request:\n%s", got)
		assert.NotEqual(t, "0", m[1], "wrk made no request:\n%s", got)
	})
}

// nginxConf is for a server that has files, and nothing beside its folder.
const nginxConf = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/errors;
events {}
http {
	access_log off;
	default_type text/plain;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	gzip on;
	gzip_min_length 1;
	gzip_types text/plain;
	server {
		listen unix:%[1]s/socket;
		root %[1]s/files;
		keepalive_requests 1000;
		location = /hello { return 200 "hello"; }
		location = /connection { return 200 "$connection"; }
		location = /nothing { return 204; }
	}
}
`

// nginx starts one, and returns the path of its socket.
func nginx(t *testing.T) string {
	path := tool(t, "nginx")
	dir, err := os.MkdirTemp("", "nginx") // t.TempDir has names that are too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	conf := filepath.Join(dir, "conf")
	for name, content := range map[string]string{conf: fmt.Sprintf(nginxConf, dir), filepath.Join(dir, "files", "large"): large} {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
	}
	var said bytes.Buffer
	c := exec.Command(path, "-p", dir, "-c", conf, "-e", filepath.Join(dir, "errors"))
	c.Stdout, c.Stderr = &said, &said
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	socket := filepath.Join(dir, "socket")
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if probe, err := net.Dial("unix", socket); err == nil {
			_ = probe.Close()
			return socket
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "errors"))
			require.FailNow(t, "nginx does not listen", "%s%s", said.String(), log)
		}
	}
}

func TestClientAgainstNginx(t *testing.T) {
	socket := nginx(t)
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		inner, err := polled.Connect(tr, "unix", socket, nil)
		require.NoError(t, err)
		c := httpsession.NewClient(inner, nil)
		defer c.Close()
		var connections []string
		for _, k := range []struct{ method, path, encoding, want string }{
			{"GET", "/connection", "", ""},
			{"GET", "/hello", "", "200 hello"},
			{"HEAD", "/hello", "", "200 "},
			{"GET", "/large", "", "200 " + large},
			{"GET", "/large", "gzip", "200 " + large}, // in chunks, because nobody knows how long it will be
			{"HEAD", "/large", "", "200 "},
			{"GET", "/nothing", "", "204 "},
			{"GET", "/connection", "", ""},
		} {
			r := request(t, k.method, "http://nginx"+k.path, "")
			if k.encoding != "" {
				r.Header.Set("Accept-Encoding", k.encoding)
			}
			put(t, c, r)
			got, err := next(t, c, c)
			require.NoError(t, err, "%s %s", k.method, k.path)
			if k.encoding == "gzip" {
				assert.Equal(t, []string{"chunked"}, got.TransferEncoding, "%s %s: %v", k.method, k.path, got.Header)
				z, err := gzip.NewReader(bytes.NewReader(got.Content))
				require.NoError(t, err)
				got.Content, err = io.ReadAll(z)
				require.NoError(t, err)
			}
			if k.path == "/connection" {
				connections = append(connections, string(got.Content))
				continue
			}
			assert.True(t, summary(got) == k.want, "%s %s: %.100s; want %.100s", k.method, k.path, summary(got), k.want)
		}
		assert.Equal(t, connections[1], connections[0], "the requests came over two connections")
	})
}
