package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// serveHTTP2 serves over TLS, and over plain TCP, where HTTP/2 has the Conn itself.
func serveHTTP2(t *testing.T, tr tandem.Transport, h http.Handler, id identity) (addresses map[string]string) {
	t.Helper()
	secure, plain := listen(t, tr), listen(t, tr)
	serve(t, secure, h, id.config.Clone())
	serveBy(t, &http.Server{Handler: h, Protocols: unencrypted()}, plain)
	_, port, err := net.SplitHostPort(secure.Addr().String())
	require.NoError(t, err)
	return map[string]string{"https": "https://localhost:" + port, "http": "http://" + plain.Addr().String()}
}

func unencrypted() *http.Protocols {
	p := &http.Protocols{}
	p.SetUnencryptedHTTP2(true)
	return p
}

// TestHTTP2Load has h2load ask and send over many streams of several connections.
func TestHTTP2Load(t *testing.T) {
	h2load := tool(t, "h2load")
	id := newIdentity(t)
	body := large[:100_000]
	file := writeFile(t, "body", body)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		for scheme, url := range serveHTTP2(t, tr, handler(t), id) {
			for _, k := range []struct {
				args   []string
				n, all int
			}{
				{[]string{"-n2000", "-c10", "-m20", url + "/hello"}, 2000, 2000 * len("hello")},
				{[]string{"-n20", "-c5", "-m4", url + "/large"}, 20, 20 * len(large)},
				{[]string{"-n200", "-c5", "-m10", "-d", file, url + "/echo"}, 200, 200 * len(body)},
				{[]string{"-n100", "-c5", "-m10", "-d", file, url + "/sum"}, 100, 100 * len(sum(body))},
			} {
				out := run(t, nil, h2load, k.args...)
				assert.Contains(t, out, fmt.Sprintf("requests: %[1]d total, %[1]d started, %[1]d done, %[1]d succeeded, 0 failed, 0 errored, 0 timeout", k.n), scheme)
				assert.Contains(t, out, fmt.Sprintf("status codes: %d 2xx, 0 3xx, 0 4xx, 0 5xx", k.n), scheme)
				m := regexp.MustCompile(`\((\d+)\) data`).FindStringSubmatch(out)
				if assert.NotNil(t, m, out) {
					assert.Equal(t, fmt.Sprint(k.all), m[1], "bytes of bodies: %q", k.args)
				}
				if scheme == "https" {
					assert.Contains(t, out, "Application protocol: h2\n")
				}
			}
		}
	})
}

// http2Client is a client that has HTTP/2 only.
func http2Client(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error), id identity) *http.Client {
	p := unencrypted()
	p.SetHTTP2(true)
	rt := &http.Transport{
		DialContext: dial, TLSClientConfig: id.trust.Clone(), Protocols: p, DisableCompression: true,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 50 * time.Millisecond, PingTimeout: patience},
	}
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt, Timeout: patience}
}

// TestHTTP2Client has Go's client over DialConn ask Go's server over ListenConn, and each of them one over package net.
func TestHTTP2Client(t *testing.T) {
	id := newIdentity(t)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		h := handler(t)
		ours := serveHTTP2(t, tr, h, id)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		serve(t, l, h, id.config.Clone())
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, k := range []struct {
			name, url string
			dial      func(ctx context.Context, network, address string) (net.Conn, error)
		}{
			{"both", ours["https"], dialer(tr)},
			{"both, plain", ours["http"], dialer(tr)},
			{"to net", "https://localhost:" + port, dialer(tr)},
			{"from net", ours["https"], (&net.Dialer{}).DialContext},
		} {
			t.Run(k.name, func(t *testing.T) {
				c := http2Client(t, k.dial, id)
				before := tr.Stats().Conns.Opened
				res, p := ask(t, c, "GET", k.url+"/proto", nil, nil)
				require.Equal(t, "HTTP/2.0", string(p))
				require.Equal(t, 2, res.ProtoMajor)
				clientAsks(t, c, k.url)
				manyStreams(t, c, k.url)
				upAndDown(t, c, k.url)
				giveUp(t, c, k.url)
				assert.LessOrEqual(t, tr.Stats().Conns.Opened-before, uint64(2), "one connection did all")
			})
		}
	})
}

// manyStreams has 100 bodies go over and back at the same time.
func manyStreams(t *testing.T, c *http.Client, url string) {
	var all sync.WaitGroup
	for i := range 100 {
		body := large[i*1000 : i*1000+100_000+i]
		all.Go(func() {
			res, err := c.Post(url+"/echo", "", bytes.NewReader(body))
			if !assert.NoError(t, err) {
				return
			}
			p, err := io.ReadAll(res.Body)
			assert.NoError(t, err)
			assert.NoError(t, res.Body.Close())
			sameBytes(t, body, p, fmt.Sprintf("stream %d", i))
		})
	}
	all.Wait()
}

// upAndDown asks and answers in turn within one request, with rests in which the client pings.
func upAndDown(t *testing.T, c *http.Client, url string) {
	body, w := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/lines", body)
	require.NoError(t, err)
	answered := make(chan *http.Response, 1)
	go func() {
		res, err := c.Do(r)
		assert.NoError(t, err)
		answered <- res
	}()
	_, err = io.WriteString(w, "first\n")
	require.NoError(t, err)
	res := receive(t, "the answer's header", answered)
	require.NotNil(t, res)
	p := make([]byte, len("FIRST\n"))
	_, err = io.ReadFull(res.Body, p)
	require.NoError(t, err)
	require.Equal(t, "FIRST\n", string(p))
	for i := range 3 {
		line := strings.Repeat(fmt.Sprint(i), 1000) + "x\n"
		time.Sleep(60 * time.Millisecond) // longer than the client waits for a ping
		_, err = io.WriteString(w, line)
		require.NoError(t, err)
		p = make([]byte, len(line))
		_, err = io.ReadFull(res.Body, p)
		require.NoError(t, err)
		require.Equal(t, strings.ToUpper(line), string(p))
	}
	require.NoError(t, w.Close())
	p, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Empty(t, p)
	require.NoError(t, res.Body.Close())
}

// giveUp has a client give one of two streams up: the server learns of it, and the other goes on.
func giveUp(t *testing.T, c *http.Client, url string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", url+"/wait", nil)
	require.NoError(t, err)
	var all [2]*http.Response
	for i := range all {
		all[i], err = c.Do(r)
		require.NoError(t, err)
		_, err = io.ReadFull(all[i].Body, make([]byte, len("waiting")))
		require.NoError(t, err)
		r = r.WithContext(t.Context())
	}
	cancel()
	_, err = all[0].Body.Read(make([]byte, 1))
	require.ErrorIs(t, err, context.Canceled)
	p, err := io.ReadAll(all[1].Body) // which the server ends when it has learned of the other's end
	require.NoError(t, err)
	require.Equal(t, " over", string(p))
	for _, res := range all {
		_ = res.Body.Close()
	}
}

// TestHTTP2Protocol has a server over ListenConn choose the protocol that the client knows.
func TestHTTP2Protocol(t *testing.T) {
	curl := tool(t, "curl")
	id := newIdentity(t)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		url := serveHTTP2(t, tr, handler(t), id)["https"]
		for flag, want := range map[string]string{"--http1.1": "HTTP/1.1", "--http2": "HTTP/2.0"} {
			got := run(t, nil, curl, "-sS", "--noproxy", "*", "--cacert", id.certFile, flag, url+"/proto")
			assert.Equal(t, want, got)
		}
		c, err := tandem.DialConn(t.Context(), tr, "tcp", strings.TrimPrefix(url, "https://"), nil)
		require.NoError(t, err)
		secure := tls.Client(c, &tls.Config{RootCAs: id.trust.RootCAs, ServerName: "another"})
		require.ErrorContains(t, secure.HandshakeContext(t.Context()), "certificate is valid for localhost, not another")
		require.NoError(t, c.Close())
	})
}
