package httpsession_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// trust is what the two ends of a connection need to trust each other: the certificate of net/http/httptest, which is for
// 127.0.0.1.
var trust = sync.OnceValues(func() (server, client *tls.Config) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: pool}
})

func serverTLS() *tls.Config {
	server, _ := trust()
	return server.Clone()
}

func clientTLS() *tls.Config {
	_, client := trust()
	return client.Clone()
}

// secure answers with what it knows of the client's connection.
func secure() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || !r.TLS.HandshakeComplete {
			http.Error(w, "plain", http.StatusInternalServerError)
			return
		}
		content, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.RemoteAddr, r.TLS.NegotiatedProtocol, content)
	})
	return mux
}

// TestTLSBothEnds has clients and a server of this package on one Transport.
func TestTLSBothEnds(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := serverTLS()
		server.NextProtos = []string{"http/1.1"}
		l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(secure(), nil), &tandem.ListenOptions{TLS: server})
		require.NoError(t, err)
		o := httpsession.ClientOptions{TLS: clientTLS()}
		c, err := httpsession.Connect(tr, l.Addr().String(), &o)
		require.NoError(t, err)
		defer c.Close()
		var peers []string
		for _, content := range []string{"", "content", large, "more"} {
			put(t, c, request(t, "POST", "https://"+l.Addr().String()+"/", content))
			r, err := next(t, c, c)
			require.NoError(t, err)
			require.NotNil(t, r.TLS, "the TLS of a response")
			assert.Equal(t, "http/1.1", r.TLS.NegotiatedProtocol)
			from, rest, _ := strings.Cut(string(r.Content), " ")
			peers = append(peers, from)
			assert.True(t, rest == "http/1.1 "+content, "%.100s", rest)
		}
		assert.Equal(t, peers[0], peers[3], "the requests came over two connections")

		pool := httpsession.NewPool(tr, &httpsession.PoolOptions{Client: o})
		defer pool.Close()
		peers = nil
		for range 3 {
			x, err := pool.Do(request(t, "GET", "https://"+l.Addr().String()+"/", ""))
			require.NoError(t, err)
			r, err := next(t, x, x)
			require.NoError(t, err)
			peers = append(peers, string(r.Content))
			require.NoError(t, x.Close())
			assert.Equal(t, 1, pool.Idle())
		}
		assert.Equal(t, peers[0], peers[2], "the pool has used two connections")
	})
}

// TestTLSPolledServer has a Server on a session that was accepted.
func TestTLSPolledServer(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		l, err := polled.Listen(tr, "tcp", "127.0.0.1:0", &tandem.ListenOptions{TLS: serverTLS()})
		require.NoError(t, err)
		defer l.Close()
		c, err := httpsession.Connect(tr, l.Addr().String(), &httpsession.ClientOptions{TLS: clientTLS()})
		require.NoError(t, err)
		defer c.Close()
		var inner polled.Bytes
		until(t, func() bool {
			_, err := c.Drive()
			require.NoError(t, err)
			s, ok, err := l.Accept()
			require.NoError(t, err)
			inner = s
			return ok
		})
		s := httpsession.NewServer(inner, nil)
		defer s.Close()
		for _, content := range []string{"", "content", large} {
			m := request(t, "POST", "https://"+l.Addr().String()+"/", content)
			until(t, func() bool {
				rest, status, err := c.Write(m)
				require.NoError(t, err)
				m = rest
				_, err = c.Drive()
				require.NoError(t, err)
				return status == polled.Success
			})
			q, err := next(t, s, c, s)
			require.NoError(t, err)
			require.NotNil(t, q.TLS, "the TLS of a request")
			put(t, s, response(http.StatusOK, string(q.Content)))
			r, err := next(t, c, c, s)
			require.NoError(t, err)
			assert.True(t, summary(r) == "200 "+content, "%.100s", summary(r))
		}
	})
}

// TestTLSAgainstNetHTTP asks a server that prefers HTTP/2.
func TestTLSAgainstNetHTTP(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := httptest.NewUnstartedServer(secure())
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
		server.StartTLS()
		defer server.Close()
		o := httpsession.ClientOptions{TLS: clientTLS()}
		o.TLS.NextProtos = []string{"h2", "http/1.1"} // as net/http's client has it
		pool := httpsession.NewPool(tr, &httpsession.PoolOptions{Client: o})
		defer pool.Close()
		for _, content := range []string{"", "content", large} {
			x, err := pool.Do(request(t, "PUT", server.URL+"/", content))
			require.NoError(t, err)
			r, err := next(t, x, x)
			require.NoError(t, err)
			_, rest, _ := strings.Cut(string(r.Content), " ")
			assert.True(t, rest == "http/1.1 "+content, "%.100s", rest)
			require.NoError(t, x.Close())
			assert.Equal(t, 1, pool.Open())
		}
	})
}

// TestTLSUntrusted asks a server whose certificate nobody vouches for, and one that is for another name.
func TestTLSUntrusted(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := httptest.NewUnstartedServer(secure())
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		other := clientTLS()
		other.ServerName = "other.test"
		for name, config := range map[string]*tls.Config{"unknown": nil, "other": other} {
			pool := httpsession.NewPool(tr, &httpsession.PoolOptions{Client: httpsession.ClientOptions{TLS: config}})
			x, err := pool.Do(request(t, "GET", server.URL+"/", ""))
			require.NoError(t, err)
			_, err = next(t, x, x)
			var untrusted *tls.CertificateVerificationError
			assert.ErrorAs(t, err, &untrusted, name)
			assert.Zero(t, pool.Open(), name)
		}
	})
}

// cut is a server of crypto/tls that sends one answer, and finishes with close_notify or without.
func cut(t *testing.T, answer string, notify bool) (address string) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS())
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				c := raw.(*tls.Conn)
				_ = c.SetDeadline(time.Now().Add(patience))
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				_, _ = io.WriteString(c, answer)
				if notify {
					_ = c.CloseWrite()
				}
				_ = c.NetConn().(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c.NetConn())
			}()
		}
	}()
	return l.Addr().String()
}

// TestTLSCut asks servers that finish behind their answer. An answer that ends with the connection is whole only if
// close_notify says so.
func TestTLSCut(t *testing.T) {
	const untilClose = "HTTP/1.1 200 OK\r\n\r\ncontent"
	for _, k := range []struct {
		name, answer string
		notify       bool
		want         string // "": an error that is io.ErrUnexpectedEOF
	}{
		{"until close_notify", untilClose, true, "200 content"},
		{"until FIN", untilClose, false, ""},
		{"nothing until FIN", "HTTP/1.1 200 OK\r\n\r\n", false, ""},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncontent", false, "200 content"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ncontent\r\n0\r\n\r\n", false, "200 content"},
		{"a part of the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ncontent\r\n", true, ""},
		{"no answer", "", true, ""},
	} {
		t.Run(k.name, func(t *testing.T) {
			onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
				address := cut(t, k.answer, k.notify)
				o := httpsession.ClientOptions{TLS: clientTLS()}
				check := func(who string, r *http1.Response, err error) {
					t.Helper()
					if k.want == "" {
						require.ErrorIs(t, err, io.ErrUnexpectedEOF, who)
						return
					}
					require.NoError(t, err, who)
					assert.Equal(t, k.want, summary(r), who)
				}
				c, err := httpsession.Connect(tr, address, &o)
				require.NoError(t, err)
				defer c.Close()
				put(t, c, request(t, "GET", "https://"+address+"/", ""))
				r, err := next(t, c, c)
				check("Client", r, err)

				pool := httpsession.NewPool(tr, &httpsession.PoolOptions{Client: o})
				x, err := pool.Do(request(t, "GET", "https://"+address+"/", ""))
				require.NoError(t, err)
				r, err = next(t, x, x)
				check("Exchange", r, err)
				require.NoError(t, x.Close())
				until(t, func() bool { pool.Drive(); return pool.Open() == 0 }) // the server has finished

				asks(t, tr, address, check)
			})
		})
	}
}

// asks has Ask do what TestTLSCut does.
func asks(t *testing.T, tr tandem.Transport, address string, check func(string, *http1.Response, error)) {
	type answer struct {
		r   *http1.Response
		err error
	}
	answers := make(chan answer, 1)
	h, err := httpsession.Ask(request(t, "GET", "https://"+address+"/", ""), nil, func(_ *session.Stream, r *http1.Response, err error) {
		if r != nil {
			r.Content = bytes.Clone(r.Content)
		}
		answers <- answer{r, err}
	})
	require.NoError(t, err)
	s, err := tr.Connect("tcp", address, h, &tandem.DialOptions{TLS: clientTLS()})
	require.NoError(t, err)
	defer func() { _ = s.Abort() }()
	driven := strings.HasSuffix(t.Name(), "-driven")
	until(t, func() bool {
		if driven {
			_, err := tr.Poll(0)
			require.NoError(t, err)
		}
		return len(answers) > 0
	})
	a := <-answers
	check("Ask", a.r, a.err)
}

// TestTLSCutLine has lines, whose last one may end with the connection.
func TestTLSCutLine(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		for _, notify := range []bool{true, false} {
			address := cut(t, "whole\npart", notify)
			inner, err := polled.Connect(tr, "tcp", address, &tandem.DialOptions{TLS: clientTLS()})
			require.NoError(t, err)
			lines := polled.NewFramed(inner, frame.Line{CRLF: true}, 0)
			for _, line := range []string{"GET / HTTP/1.1", "Host: x", ""} {
				put(t, lines, []byte(line))
			}
			got, err := next(t, lines, lines)
			require.NoError(t, err)
			assert.Equal(t, "whole", string(got))
			got, err = next(t, lines, lines)
			if notify {
				require.NoError(t, err)
				assert.Equal(t, "part", string(got))
				_, err = next(t, lines, lines)
				assert.Equal(t, io.EOF, err)
			} else {
				var wrong *frame.Error
				require.ErrorAs(t, err, &wrong)
				assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
				assert.EqualValues(t, len("whole\npart"), wrong.Offset)
			}
			require.NoError(t, lines.Close())
		}
	})
}

// TestTLSHandlerAgainstNetHTTP is asked by net/http's client.
func TestTLSHandlerAgainstNetHTTP(t *testing.T) {
	serves(t, secure(), &tandem.ListenOptions{TLS: serverTLS()}, func(t *testing.T, address string) {
		transport := &http.Transport{TLSClientConfig: clientTLS(), ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: patience}
		peers := map[string]bool{}
		for _, content := range []string{"", "content", large} {
			r, err := client.Post("https://"+address+"/", "text/plain", strings.NewReader(content))
			require.NoError(t, err)
			got, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			_ = r.Body.Close()
			from, rest, _ := strings.Cut(string(got), " ")
			peers[from] = true
			assert.True(t, rest == " "+content, "%.100s", rest)
		}
		assert.Len(t, peers, 1, "connections")
	})
}

// TestTLSHijack has a handler take the connection, which goes on encrypted.
func TestTLSHijack(t *testing.T) {
	took := make(chan error, 10)
	site := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			took <- err
			return
		}
		go func() {
			defer c.Close()
			_, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			if err == nil {
				_, err = io.Copy(c, c)
			}
			took <- err
		}()
	})
	serves(t, site, &tandem.ListenOptions{TLS: serverTLS()}, func(t *testing.T, address string) {
		c, err := tls.Dial("tcp", address, clientTLS())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbehind,")
		require.NoError(t, err)
		in := bufio.NewReader(c)
		r, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, r.StatusCode)
		_, err = io.WriteString(c, "and on")
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		got, err := io.ReadAll(in)
		require.NoError(t, err)
		assert.Equal(t, "behind,and on", string(got))
		require.NoError(t, <-took)
	})
}

// TestTLSCurl is asked by curl.
func TestTLSCurl(t *testing.T) {
	curl := tool(t, "curl")
	server := serverTLS()
	server.NextProtos = []string{"http/1.1"}
	serves(t, site(), &tandem.ListenOptions{TLS: server}, func(t *testing.T, address string) {
		url := "https://" + address
		for _, k := range []struct {
			args []string
			want string
		}{
			{[]string{url + "/"}, "GET "},
			{[]string{"--http1.0", "--no-alpn", url + "/"}, "GET "},
			{[]string{"--tlsv1.2", "--tls-max", "1.2", "-d", "hello", url + "/"}, "POST hello"},
			{[]string{"--tlsv1.3", "-d", "hello", "-H", "Expect: 100-continue", url + "/"}, "POST hello"},
			{[]string{"--no-alpn", url + "/"}, "GET "},
			{[]string{"-w", "%{http_code} %{num_connects} ", url + "/nothing", "-w", "%{http_code} %{num_connects} ", url + "/nothing"}, "204 1 204 0 "},
			{[]string{"-w", "%{http_code} %{num_connects} ", url + "/close", url + "/nothing"}, "200 1 204 1 "},
		} {
			got := run(t, nil, curl, append([]string{"-sS", "-k", "--noproxy", "*"}, k.args...)...)
			assert.Equal(t, k.want, got, "curl %q", k.args)
		}
		assert.Equal(t, "PUT "+large, run(t, strings.NewReader(large), curl, "-sS", "-k", "--noproxy", "*", "-T", "-", url+"/"), "an upload")
	})
}
