package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// handler answers what the tests ask.
func handler(t *testing.T) http.Handler {
	file := writeFile(t, "large", large)
	m := http.NewServeMux()
	m.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	m.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }) // by sendfile
	m.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	m.HandleFunc("/whole", func(w http.ResponseWriter, r *http.Request) { // HTTP/1 clients need not read while they send
		p, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = w.Write(p)
	})
	m.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		_, _ = fmt.Fprintf(w, "%d %x %v", n, h.Sum(nil), err)
	})
	m.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	m.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	m.HandleFunc("/proto", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	m.HandleFunc("/from", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	m.HandleFunc("/lines", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // which HTTP/2 has anyway
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			_, _ = fmt.Fprintln(w, strings.ToUpper(lines.Text()))
			_ = http.NewResponseController(w).Flush()
		}
	})
	gone := make(chan struct{}, 1)
	m.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) { // for the end of another one that waits
		_, _ = io.WriteString(w, "waiting")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-gone:
			_, _ = io.WriteString(w, " over")
		case <-r.Context().Done():
			gone <- struct{}{}
		}
	})
	m.HandleFunc("/pieces", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			_, _ = fmt.Fprintf(w, "piece %d\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	})
	return m
}

func pieces() (all string) {
	for i := range 100 {
		all += fmt.Sprintf("piece %d\n", i)
	}
	return all
}

func sum(p []byte) string { return fmt.Sprintf("%d %x <nil>", len(p), sha256.Sum256(p)) }

// serve has net/http serve over a listener, with TLS and HTTP/2 if there is a Config.
func serve(t *testing.T, l net.Listener, h http.Handler, c *tls.Config) {
	t.Helper()
	serveBy(t, &http.Server{Handler: h, TLSConfig: c}, l)
}

func serveBy(t *testing.T, s *http.Server, l net.Listener) {
	t.Helper()
	served := make(chan error, 1)
	go func() {
		if s.TLSConfig != nil {
			served <- s.ServeTLS(l, "", "")
			return
		}
		served <- s.Serve(l)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, s.Shutdown(ctx), "the server's own Shutdown")
		assert.ErrorIs(t, receive(t, "the end of Serve", served), http.ErrServerClosed)
	})
}

// httpClient is a client of net/http that dials by the function.
func httpClient(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	rt := &http.Transport{DialContext: dial, DisableCompression: true, ExpectContinueTimeout: patience}
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt, Timeout: patience}
}

// TestHTTPCurl has curl ask a server of net/http.
func TestHTTPCurl(t *testing.T) {
	curl := tool(t, "curl")
	file := writeFile(t, "body", large)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l := listen(t, tr)
		serve(t, l, handler(t), nil)
		url := "http://" + l.Addr().String()
		code := []string{"-w", "%{http_code}", "-o", os.DevNull}
		connects := []string{"-w", "%{http_code} %{num_connects} ", "-o", os.DevNull}
		for _, k := range []struct {
			what string
			args []string
			want string
		}{
			{"GET", []string{url + "/hello"}, "hello"},
			{"HTTP/1.0", []string{"-0", url + "/proto"}, "HTTP/1.0"},
			{"10 MB", []string{url + "/large"}, string(large)},
			{"range", []string{"-r", "1000-1000999", url + "/large"}, string(large[1000:1001000])},
			{"last bytes", []string{"-r", "-77", url + "/large"}, string(large[len(large)-77:])},
			{"beyond the end", append(code, "-r", "10000000-", url+"/large"), "416"},
			{"HEAD", []string{"-I", "-w", "%{http_code} %header{content-length} %{size_download}", "-o", os.DevNull, url + "/large"}, "200 10000000 0"},
			{"POST", []string{"-d", "over and back", url + "/echo"}, "over and back"},
			{"PUT of 10 MB", []string{"-T", file, url + "/sum"}, sum(large)},
			{"10 MB over and back", []string{"-T", file, url + "/whole"}, string(large)},
			{"10 MB in chunks", []string{"-T", file, "-H", "Transfer-Encoding: chunked", url + "/sum"}, sum(large)},
			{"Expect", []string{"-T", file, "-H", "Expect: 100-continue", "--expect100-timeout", "30", url + "/sum"}, sum(large)},
			{"Expect, refused", append(code, "-T", file, "-H", "Expect: 100-continue", "--expect100-timeout", "30", url+"/refuse"), "403"},
			{"pieces", []string{url + "/pieces"}, pieces()},
			{"keep-alive", append(append(append(connects, url+"/hello", "--next"), connects...), url+"/hello"), "200 1 200 0 "},
			{"close", append(append(append(connects, url+"/close", "--next"), connects...), url+"/hello"), "200 1 200 1 "},
			{"20 on one connection", []string{url + "/hello?[1-20]"}, strings.Repeat("hello", 20)},
		} {
			got := run(t, nil, curl, append([]string{"-sS", "--noproxy", "*", "--max-time", "30"}, k.args...)...)
			sameBytes(t, []byte(k.want), []byte(got), "curl: "+k.what)
		}
		s := tr.Stats().Conns
		assert.GreaterOrEqual(t, s.BytesIn, uint64(4*len(large)), "the files came over Conns")
		assert.GreaterOrEqual(t, s.BytesOut, uint64(2*len(large)), "sendfile counts, too")
	})
}

// TestHTTPUnix has curl ask over a Unix socket.
func TestHTTPUnix(t *testing.T) {
	curl := tool(t, "curl")
	file := writeFile(t, "body", large)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		socket := filepath.Join(folder(t), "socket")
		l, err := tandem.ListenConn(tr, "unix", socket, nil)
		require.NoError(t, err)
		serve(t, l, handler(t), nil)
		got := run(t, nil, curl, "-sS", "--noproxy", "*", "--unix-socket", socket, "http://here/large")
		sameBytes(t, large, []byte(got), "10 MB")
		got = run(t, nil, curl, "-sS", "--noproxy", "*", "--unix-socket", socket, "-T", file, "http://here/whole")
		sameBytes(t, large, []byte(got), "10 MB over and back")
		got = run(t, nil, curl, "-sS", "--noproxy", "*", "--unix-socket", socket, "http://here/from")
		require.Equal(t, "@", got, "what package net calls a peer without a name")
	})
}

// wrkScript has wrk look at every answer.
const wrkScript = `
local threads = {}
function setup(thread) table.insert(threads, thread) end
wrong, all = 0, 0
function response(status, headers, body)
  all = all + 1
  if status ~= 200 or body ~= "hello" or headers["Content-Length"] ~= "5" then wrong = wrong + 1 end
end
function done(summary, latency, requests)
  local wrong, all = 0, 0
  for _, t in ipairs(threads) do wrong, all = wrong + t:get("wrong"), all + t:get("all") end
  local e = summary.errors
  io.write("answers ", all, " wrong ", wrong, " errors ", e.connect + e.read + e.write + e.status + e.timeout, "\n")
end
`

// TestHTTPWrk has wrk load a server of net/http, and look at every answer.
func TestHTTPWrk(t *testing.T) {
	wrk := tool(t, "wrk")
	script := writeFile(t, "script.lua", []byte(wrkScript))
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l := listen(t, tr)
		var asked atomic.Int64
		inner := handler(t)
		serve(t, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			inner.ServeHTTP(w, r)
		}), nil)
		out := run(t, nil, wrk, "-t2", "-c64", "-d1s", "-s", script, "http://"+l.Addr().String()+"/hello")
		m := regexp.MustCompile(`answers (\d+) wrong 0 errors 0\n`).FindStringSubmatch(out)
		require.NotNil(t, m, out)
		answers, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		assert.Positive(t, answers)
		assert.GreaterOrEqual(t, asked.Load(), int64(answers))
		assert.LessOrEqual(t, asked.Load(), int64(answers)+64, "what is at work at the end")
		assert.EqualValues(t, 64+1, tr.Stats().Conns.Opened, "wrk tries one before it begins")
	})
}

// ask makes a request, and returns the body of the answer.
func ask(t *testing.T, c *http.Client, method, url string, body io.Reader, change func(r *http.Request)) (*http.Response, []byte) {
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if !assert.NoError(t, err) {
		return nil, nil
	}
	if change != nil {
		change(r)
	}
	res, err := c.Do(r)
	if !assert.NoError(t, err) {
		return nil, nil
	}
	p, err := io.ReadAll(res.Body)
	assert.NoError(t, err, "%s %s: the body", method, url)
	assert.NoError(t, res.Body.Close())
	return res, p
}

// clientAsks has a client ask all that the server answers, from several goroutines.
func clientAsks(t *testing.T, c *http.Client, url string) {
	file := writeFile(t, "body", large)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 3 {
				_, p := ask(t, c, "GET", url+"/hello", nil, nil)
				sameBytes(t, []byte("hello"), p, "GET")
				_, p = ask(t, c, "POST", url+"/echo", strings.NewReader("over and back"), nil)
				sameBytes(t, []byte("over and back"), p, "POST")
				_, p = ask(t, c, "GET", url+"/pieces", nil, nil)
				sameBytes(t, []byte(pieces()), p, "pieces")
			}
			clientAsksLarge(t, c, url, file)
		})
	}
	all.Wait()
}

func clientAsksLarge(t *testing.T, c *http.Client, url, file string) {
	_, p := ask(t, c, "GET", url+"/large", nil, nil)
	sameBytes(t, large, p, "GET of 10 MB")
	res, p := ask(t, c, "HEAD", url+"/large", nil, nil)
	assert.Empty(t, p, "HEAD")
	assert.EqualValues(t, len(large), res.ContentLength, "HEAD")
	res, p = ask(t, c, "GET", url+"/large", nil, func(r *http.Request) { r.Header.Set("Range", "bytes=77-1000076") })
	assert.Equal(t, http.StatusPartialContent, res.StatusCode)
	sameBytes(t, large[77:1000077], p, "range")
	_, p = ask(t, c, "POST", url+"/sum", bytes.NewReader(large), nil)
	sameBytes(t, []byte(sum(large)), p, "POST of 10 MB")
	_, p = ask(t, c, "POST", url+"/sum", bytes.NewReader(large), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })
	sameBytes(t, []byte(sum(large)), p, "Expect")
	f, err := os.Open(file)
	if assert.NoError(t, err) {
		_, p = ask(t, c, "PUT", url+"/sum", f, func(r *http.Request) { r.ContentLength = int64(len(large)) })
		sameBytes(t, []byte(sum(large)), p, "PUT of a file")
	}
}

// TestHTTPClient has a client over DialConn ask a server over ListenConn, one over package net, and the other way round.
func TestHTTPClient(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		theirs, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ours := listen(t, tr)
		h := handler(t)
		serve(t, theirs, h, nil)
		serve(t, ours, h, nil)
		t.Run("to net", func(t *testing.T) { clientAsks(t, httpClient(t, dialer(tr)), "http://"+theirs.Addr().String()) })
		t.Run("from net", func(t *testing.T) {
			clientAsks(t, httpClient(t, (&net.Dialer{}).DialContext), "http://"+ours.Addr().String())
		})
		t.Run("both", func(t *testing.T) { clientAsks(t, httpClient(t, dialer(tr)), "http://"+ours.Addr().String()) })
	})
}

// TestHTTPEnds has a client give up, a server that times out, and one that ends while a client waits.
func TestHTTPEnds(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l := listen(t, tr)
		gone := make(chan error, 1)
		serveBy(t, &http.Server{ReadHeaderTimeout: 50 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				_, _ = io.WriteString(w, "waiting")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done() // net/http reads, to learn that the client has gone
				gone <- r.Context().Err()
				return
			}
			_, _ = io.Copy(w, r.Body)
		})}, l)
		c := httpClient(t, dialer(tr))
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", "http://"+l.Addr().String()+"/wait", nil)
		require.NoError(t, err)
		res, err := c.Do(r)
		require.NoError(t, err)
		_, err = io.ReadFull(res.Body, make([]byte, len("waiting")))
		require.NoError(t, err)
		cancel()
		_, err = res.Body.Read(make([]byte, 1))
		require.ErrorIs(t, err, context.Canceled)
		_ = res.Body.Close()
		require.ErrorIs(t, receive(t, "the end of the request", gone), context.Canceled)

		idle, err := tandem.DialConn(t.Context(), tr, "tcp", l.Addr().String(), nil)
		require.NoError(t, err)
		defer idle.Close()
		require.NoError(t, idle.SetReadDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(idle, "GET /hello HTTP/1.1\r\n") // and no more
		require.NoError(t, err)
		p, err := io.ReadAll(idle)
		require.NoError(t, err)
		require.Empty(t, p, "the server ends a connection whose header does not come")
	})
}
