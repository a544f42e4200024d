package httpsession_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// calling runs a test on the loop of a ClientConn that is connected to address, until it calls done.
func calling(t *testing.T, tr tandem.Transport, address string, o *httpsession.ClientOptions,
	begin func(c *httpsession.ClientConn, done func())) (closed error) {
	t.Helper()
	c := httpsession.NewClientConn(o)
	ends := make(chan error, 2)
	begun := false
	c.Ready = func() {
		if !begun {
			begun = true
			begin(c, func() { _ = c.Stream().Close() })
		}
	}
	c.Closed = func(err error) { ends <- err }
	_, err := tr.Connect("tcp", address, c, nil)
	require.NoError(t, err)
	select {
	case closed = <-ends:
	case <-time.After(patience):
		require.FailNow(t, "Closed was not called")
	}
	return closed
}

// onLoops runs the test on the backends with loops of their own.
func onLoops(t *testing.T, test func(t *testing.T, tr tandem.Transport)) {
	handling(t, http.NotFoundHandler(), nil, func(t *testing.T, _ string, _ *sessiontest.Log) {
		b := tandem.Epoll
		if t.Name()[len(t.Name())-5:] == "uring" {
			b = tandem.Uring
		}
		tr, err := tandem.Open(&tandem.Options{Backend: b, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		defer tr.Close()
		test(t, tr)
	})
}

// TestClientConnAgainstNetHTTP has several exchanges over one connection, whole and in parts.
func TestClientConnAgainstNetHTTP(t *testing.T) {
	server := partsOracle(t)
	sum := fmt.Sprintf("%d %x <nil> a trailer", len(middling), sha256.Sum256([]byte(middling)))
	onLoops(t, func(t *testing.T, tr tandem.Transport) {
		o := &httpsession.ClientOptions{Parts: respondInParts, Interim: true, ExpectContinueTimeout: patience}
		var got []string
		closed := calling(t, tr, server.Listener.Addr().String(), o, func(c *httpsession.ClientConn, done func()) {
			q := upload(t, server.URL+"/sum", -1, true, http.Header{"X-After": {"a trailer"}})
			rest := middling
			sum := ""
			push := func() {
				for q.Part != http1.Last {
					n := min(len(rest), 50_000)
					q.Part, q.Content = http1.Middle, []byte(rest[:n])
					if n == 0 {
						q.Part = http1.Last
					}
					if err := c.Write(q); err != nil {
						assert.Equal(t, session.ErrWouldBlock, err)
						q.Part = http1.Middle
						return
					}
					rest = rest[n:]
				}
			}
			down := func() {
				n := 0
				assert.NoError(t, c.Do(request(t, "GET", server.URL+"/large", ""), func(r *http1.Response, err error) {
					assert.NoError(t, err)
					if r.Interim() {
						got = append(got, r.Status)
						return
					}
					if n += len(r.Content); r.Part.Ends() {
						got = append(got, fmt.Sprint(n, r.Trailer.Get("X-Sum")))
						done()
					}
				}))
			}
			assert.NoError(t, c.Do(q, func(r *http1.Response, err error) {
				assert.NoError(t, err)
				if r.Interim() {
					got = append(got, r.Status)
					return
				}
				if sum += string(r.Content); r.Part.Ends() {
					got = append(got, sum)
					down()
				}
			}))
			assert.Equal(t, session.ErrWouldBlock, c.Do(q, func(*http1.Response, error) {}), "a second one at once")
			c.Ready = push
		})
		assert.NoError(t, closed)
		assert.Equal(t, []string{"100 Continue", sum, "103 Early Hints", fmt.Sprint(len(middling), "done")}, got)
	})
}

// TestClientConnEnds reports the end of the connection to every exchange, and then to Closed.
func TestClientConnEnds(t *testing.T) {
	for name, k := range map[string]struct {
		answers   string
		o         httpsession.ClientOptions
		want, due error
		last      string
	}{
		"finished":         {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none", httpsession.ClientOptions{}, io.EOF, io.ErrUnexpectedEOF, "one"},
		"within":           {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntw", httpsession.ClientOptions{}, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, "one"},
		"says so":          {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\none", httpsession.ClientOptions{}, io.EOF, io.ErrUnexpectedEOF, "one"},
		"never asked":      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", httpsession.ClientOptions{}, nil, nil, ""},
		"wrong":            {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", httpsession.ClientOptions{}, nil, nil, ""},
		"response is slow": {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no", httpsession.ClientOptions{MessageTimeout: 50 * time.Millisecond, Parts: respondInParts}, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onLoops(t, func(t *testing.T, tr tandem.Transport) {
				address, release := scripted(t, k.answers, name == "response is slow")
				defer release()
				k.o.Pipeline = 2
				var content string
				var dues []error
				closed := calling(t, tr, address, &k.o, func(c *httpsession.ClientConn, _ func()) {
					for range 2 {
						assert.NoError(t, c.Do(request(t, "GET", "http://a/", ""), func(r *http1.Response, err error) {
							if err != nil {
								dues = append(dues, err)
								assert.Error(t, c.Do(request(t, "GET", "http://a/", ""), func(*http1.Response, error) {}))
							} else {
								content += string(r.Content)
							}
						}))
					}
				})
				assert.Error(t, closed)
				require.NotEmpty(t, dues)
				if k.want != nil {
					assert.ErrorIs(t, closed, k.want)
					assert.ErrorIs(t, dues[len(dues)-1], k.due)
				}
				if k.last != "" {
					assert.Equal(t, k.last, content)
				}
			})
		})
	}
}

// scripted is a server that reads a request, answers, and finishes, unless it stays.
func scripted(t *testing.T, answers string, stays bool) (address string, release func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	end := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 10_000))
		_, _ = io.WriteString(c, answers)
		if !stays {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		<-end
	}()
	return l.Addr().String(), func() { close(end) }
}

// TestClientConnTimeout ends one exchange, and lets the one behind it have its answer.
func TestClientConnTimeout(t *testing.T) {
	onLoops(t, func(t *testing.T, tr tandem.Transport) {
		release := make(chan struct{})
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-release
			}
			_, _ = io.WriteString(w, r.URL.Path)
		}), ReadHeaderTimeout: patience}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go func() { _ = s.Serve(l) }()
		defer s.Close()
		o := &httpsession.ClientOptions{ExchangeTimeout: time.Second, Pipeline: 2}
		var got []string
		closed := calling(t, tr, l.Addr().String(), o, func(c *httpsession.ClientConn, _ func()) {
			for _, path := range []string{"/slow", "/behind"} {
				answered := func(r *http1.Response, err error) {
					if err != nil {
						got = append(got, path+" "+err.Error())
						close(release)
						assert.ErrorIs(t, err, httpsession.ErrExchangeTimeout)
						return
					}
					got = append(got, string(r.Content))
				}
				do := func() { assert.NoError(t, c.Do(request(t, "GET", "http://a"+path, ""), answered)) }
				if path == "/slow" {
					do()
				} else {
					c.Stream().After(500*time.Millisecond, do)
				}
			}
		})
		assert.NoError(t, closed)
		assert.Equal(t, []string{"/slow " + httpsession.ErrExchangeTimeout.Error(), "/behind"}, got)
	})
}

// TestClientConnIsRefused gets a final answer instead of 100 Continue.
func TestClientConnIsRefused(t *testing.T) {
	server := partsOracle(t)
	onLoops(t, func(t *testing.T, tr tandem.Transport) {
		closed := calling(t, tr, server.Listener.Addr().String(), nil, func(c *httpsession.ClientConn, _ func()) {
			q := upload(t, server.URL+"/refuse", -1, true, nil)
			assert.NoError(t, c.Do(q, func(r *http1.Response, err error) {
				if assert.NoError(t, err) {
					assert.Equal(t, 403, r.StatusCode)
				}
				q.Part, q.Content = http1.Middle, []byte("content")
				assert.ErrorIs(t, c.Write(q), net.ErrClosed)
			}))
			assert.Equal(t, session.ErrWouldBlock, c.Write(&http1.Request{Request: q.Request, Part: http1.Last}))
		})
		if closed != nil {
			assert.ErrorIs(t, closed, io.EOF)
		}
	})
}
