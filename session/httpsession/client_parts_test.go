package httpsession_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

func respondInParts(*http1.Response) bool { return true }

// middling is more than what goes at once.
var middling = large[:2<<20]

// partsOracle is a server of net/http for clients with parts.
func partsOracle(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		_, _ = fmt.Fprintf(w, "%d %x %v %s", n, sum.Sum(nil), err, r.Trailer.Get("X-After"))
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, middling)
		w.Header().Set("X-Sum", "done")
	})
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// upload makes the parts of a request.
func upload(t *testing.T, to string, length int64, expect bool, trailer http.Header) *http1.Request {
	q := request(t, "PUT", to, "")
	q.Part, q.ContentLength, q.Trailer = http1.First, length, trailer
	if expect {
		q.Header.Set("Expect", "100-continue")
	}
	return q
}

// sendParts writes the parts of a request, and returns the error that ends that.
func sendParts(t *testing.T, q *http1.Request, content string, write func(*http1.Request) (polled.WriteStatus, error), drive func() error) error {
	t.Helper()
	one := func(part http1.Part, piece string) (err error) {
		q.Part, q.Content = part, []byte(piece)
		until(t, func() bool {
			var status polled.WriteStatus
			if status, err = write(q); err != nil || status == polled.Success {
				return true
			}
			err = drive()
			return err != nil
		})
		return err
	}
	for len(content) > 0 {
		n := min(50_000, len(content))
		if err := one(http1.Middle, content[:n]); err != nil {
			return err
		}
		content = content[n:]
	}
	return one(http1.Last, "")
}

// reader reads a response, also one in parts, to its end.
func readParts(t *testing.T, c interface {
	driver
	Read() (*http1.Response, polled.ReadStatus, error)
}) (interim []int, content string, last *http1.Response, pieces int) {
	t.Helper()
	var all bytes.Buffer
	for {
		r, err := next(t, c, c)
		require.NoError(t, err)
		if r.Interim() {
			interim = append(interim, r.StatusCode)
			continue
		}
		all.Write(r.Content)
		pieces++
		if r.Part.Ends() {
			return interim, all.String(), r, pieces
		}
	}
}

// TestClientPartsAgainstNetHTTP sends and receives content in parts, over a Client and by a Pool.
func TestClientPartsAgainstNetHTTP(t *testing.T) {
	sum := fmt.Sprintf("%d %x <nil> ", len(middling), sha256.Sum256([]byte(middling)))
	server := partsOracle(t)
	o := httpsession.ClientOptions{Parts: respondInParts, Interim: true, ExpectContinueTimeout: patience}
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		c, err := httpsession.Connect(tr, server.Listener.Addr().String(), &o)
		require.NoError(t, err)
		defer c.Close()
		pool := httpsession.NewPool(tr, &httpsession.PoolOptions{Client: o})
		defer pool.Close()
		for _, known := range []bool{true, false} {
			length, after, trailer := int64(len(middling)), "", http.Header(nil)
			if !known {
				length, after, trailer = -1, "a trailer", http.Header{"X-After": {"a trailer"}}
			}
			for _, expect := range []bool{true, false} {
				q := upload(t, server.URL+"/sum", length, expect, trailer)
				put(t, c, q)
				err := sendParts(t, q, middling, func(q *http1.Request) (polled.WriteStatus, error) {
					_, status, err := c.Write(q)
					return status, err
				}, func() error {
					_, err := c.Drive()
					if err == nil { // 100 Continue has to be read
						var r *http1.Response
						if r, _, err = c.Read(); r != nil {
							assert.Equal(t, http.StatusContinue, r.StatusCode)
						}
					}
					return err
				})
				require.NoError(t, err)
				_, got, _, _ := readParts(t, c)
				assert.Equal(t, sum+after, got, "known %v, expect %v", known, expect)

				q = upload(t, server.URL+"/sum", length, false, trailer)
				x, err := pool.Do(q)
				require.NoError(t, err)
				until(t, func() bool { _, err := x.Drive(); require.NoError(t, err); return x.Status() == polled.Established })
				require.NoError(t, sendParts(t, q, middling, x.Write, func() error { _, err := x.Drive(); return err }))
				_, got, _, _ = readParts(t, x)
				assert.Equal(t, sum+after, got, "known %v, in a pool", known)
				require.NoError(t, x.Close())
			}
		}
		assert.Equal(t, 1, pool.Open(), "connections of the pool")
		put(t, c, request(t, "GET", server.URL+"/large", ""))
		interim, got, last, pieces := readParts(t, c)
		assert.Equal(t, []int{103}, interim)
		assert.True(t, got == middling)
		assert.Equal(t, "done", last.Trailer.Get("X-Sum"))
		assert.Greater(t, pieces, 10, "pieces")
		assert.Equal(t, http1.Last, last.Part)
	})
}

// TestClientIsRefused gets a final answer instead of 100 Continue. The content is not sent.
func TestClientIsRefused(t *testing.T) {
	server := partsOracle(t)
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		c, err := httpsession.Connect(tr, server.Listener.Addr().String(), &httpsession.ClientOptions{ExpectContinueTimeout: patience})
		require.NoError(t, err)
		defer c.Close()
		q := upload(t, server.URL+"/refuse", -1, true, nil)
		put(t, c, q)
		r, err := next(t, c, c)
		require.NoError(t, err)
		assert.Equal(t, 403, r.StatusCode)
		q.Part, q.Content = http1.Middle, []byte("content")
		_, _, err = c.Write(q)
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestClientWaitsForContinue sends the content when the timeout has run out, and not before.
func TestClientWaitsForContinue(t *testing.T) {
	const limit = 50 * time.Millisecond
	c, server := talk(t, &httpsession.ClientOptions{ExpectContinueTimeout: limit})
	q := upload(t, "http://a/", 4, true, nil)
	begin := time.Now()
	put(t, c, q)
	_, err := c.Drive()
	require.NoError(t, err)
	head := heard(t, server)
	assert.Contains(t, head, "Expect: 100-continue\r\n")
	assert.True(t, strings.HasSuffix(head, "\r\n\r\n"), "%q", head)
	q.Part, q.Content = http1.Last, []byte("cont")
	put(t, c, q)
	assert.GreaterOrEqual(t, time.Since(begin), limit)
	_, err = c.Drive()
	require.NoError(t, err)
	assert.Equal(t, "cont", heard(t, server))
}

// TestClientChecksParts: an error of a part leaves the connection as it was.
func TestClientChecksParts(t *testing.T) {
	c, server := talk(t, nil)
	q := upload(t, "http://a/", 4, false, nil)
	write := func(part http1.Part, content string) error {
		q.Part, q.Content = part, []byte(content)
		_, status, err := c.Write(q)
		require.Equal(t, err == nil, status == polled.Success)
		return err
	}
	assert.ErrorIs(t, write(http1.Middle, "x"), frame.ErrMalformed, "without the first")
	require.NoError(t, write(http1.First, ""))
	assert.ErrorIs(t, write(http1.First, ""), frame.ErrMalformed, "the first twice")
	assert.ErrorIs(t, write(http1.Whole, ""), frame.ErrMalformed, "another request within one")
	assert.ErrorIs(t, write(http1.Middle, "12345"), frame.ErrMalformed, "more than Content-Length")
	require.NoError(t, write(http1.Middle, "12"))
	assert.ErrorIs(t, write(http1.Last, "3"), frame.ErrMalformed, "less than Content-Length")
	require.NoError(t, write(http1.Last, "34"))
	_, err := c.Drive()
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(heard(t, server), "\r\n\r\n1234"))
}

func TestExchangeTimeout(t *testing.T) {
	o := httpsession.ClientOptions{ExchangeTimeout: 20 * time.Millisecond}
	c, server := talk(t, &o)
	put(t, c, request(t, "GET", "http://a/", ""))
	say(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\non")
	_, err := next(t, c)
	assert.ErrorIs(t, err, httpsession.ErrExchangeTimeout)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)

	f := newFarm(t, httpsession.PoolOptions{Client: o})
	slow, quick := f.begin("GET", "http://a/slow"), f.begin("GET", "http://a/quick")
	f.drive(slow)
	f.drive(quick)
	f.answer(1, "/quick", "one")
	f.ends(quick, "one")
	f.now = f.now.Add(o.ExchangeTimeout)
	_, err = slow.Drive()
	assert.ErrorIs(t, err, httpsession.ErrExchangeTimeout)
	assert.Equal(t, 1, f.Idle(), "the other exchange's connection")
}
