package httpsession_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// TestPartsBehindNoContent announces content of 0 bytes, and writes some: it would be taken for the next message.
func TestPartsBehindNoContent(t *testing.T) {
	s, client := attend(t)
	say(t, client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_, err := next(t, s, s)
	require.NoError(t, err)
	a := response(200, "")
	a.Part = http1.First
	a.Header.Set("Content-Length", "0")
	put(t, s, a)
	a.Part, a.Content = http1.Middle, []byte("HTTP/1.1 200 OK\r\n\r\n")
	_, _, err = s.Write(a)
	assert.ErrorIs(t, err, frame.ErrMalformed)
	a.Part, a.Content = http1.Last, nil
	put(t, s, a)
	_, err = s.Drive()
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(heard(t, client), "HTTP/1.1"))

	c, _ := talk(t, nil)
	q := upload(t, "http://a/", 0, false, nil)
	q.Header.Set("Content-Length", "0")
	put(t, c, q)
	q.Part, q.Content = http1.Last, []byte("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
	_, _, err = c.Write(q)
	assert.ErrorIs(t, err, frame.ErrMalformed)
}

// TestBlockingConnect has clients ask a Blocking handler for a tunnel, which it cannot have: that is no panic.
func TestBlockingConnect(t *testing.T) {
	h := httpsession.Blocking(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	handling(t, h, nil, func(t *testing.T, address string, log *sessiontest.Log) {
		got := exchange(t, address, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		assert.True(t, strings.HasPrefix(got, "HTTP/1.1 501 "), "%q", got)
		assert.Contains(t, got, "answer", "the request behind")
		assert.NotContains(t, log.String(), "panic")
	})
}

// TestHandOverOfContent asks for another protocol before the content of the request has come: it would be taken for bytes of that.
func TestHandOverOfContent(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := httpsession.HandOver(w, http.StatusSwitchingProtocols, shouter{}); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	const asks = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n"
	handling(t, h, &httpsession.ServerOptions{Parts: inParts}, func(t *testing.T, address string, _ *sessiontest.Log) {
		r := sayRaw(t, address, asks+"hello", "GET")
		assert.Equal(t, http.StatusBadRequest, r.StatusCode)
	})
	s, client := attendWith(t, &httpsession.ServerOptions{Parts: inParts})
	say(t, client, asks+"he")
	_, err := next(t, s, s)
	require.NoError(t, err)
	a := response(http.StatusSwitchingProtocols, "")
	a.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"x"}}
	_, _, err = s.Write(a)
	assert.ErrorContains(t, err, "content")
	say(t, client, "llo")
	for r := (*http1.Request)(nil); r == nil || r.Part != http1.Last; {
		r, err = next(t, s, s)
		require.NoError(t, err)
	}
	put(t, s, a)
}

// TestExpectationOutlivesPart has a first part that cannot be sent. The client has still not sent its content, and its next
// request must not be taken for that.
func TestExpectationOutlivesPart(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			_, _ = io.WriteString(w, "the next")
			return
		}
		w.Header().Set("Trailer", "Upgrade") // which no trailer may have
		_, _ = io.WriteString(w, "refused")
		assert.Error(t, http.NewResponseController(w).Flush())
	})
	handling(t, h, &httpsession.ServerOptions{Parts: inParts}, func(t *testing.T, address string, _ *sessiontest.Log) {
		r := sayRaw(t, address, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", "POST")
		assert.Equal(t, http.StatusOK, r.StatusCode)
		assert.True(t, r.Close, "the connection goes on, and the next request would be taken for content")
	})
}

// TestTrailerBesideItsReader has a Blocking handler look at the fields that are announced while they come.
func TestTrailerBesideItsReader(t *testing.T) {
	h := httpsession.Blocking(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.WithContext(r.Context())
		first := make([]byte, 1)
		_, err := io.ReadFull(r.Body, first)
		assert.NoError(t, err)
		http.NewResponseController(w).Flush()
		for until := time.Now().Add(50 * time.Millisecond); time.Now().Before(until); {
			for name := range r.Trailer {
				assert.Equal(t, "X-After", name)
			}
		}
		_, err = io.Copy(io.Discard, r.Body)
		assert.NoError(t, err)
		_, _ = io.WriteString(w, r.Trailer.Get("X-After")+inner.Trailer.Get("X-After"))
	}))
	handling(t, h, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
		c := dialPlain(t, address)
		in := bufio.NewReader(c)
		_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-After\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
		require.NoError(t, err)
		r, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		time.Sleep(10 * time.Millisecond)
		_, err = io.WriteString(c, "0\r\nX-After: y\r\n\r\n")
		require.NoError(t, err)
		got, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		assert.Equal(t, "yy", string(got))
	})
}

// TestHalfClosedIdleClient has a client finish when nothing goes on: the connection ends, although AllowHalfClose is set.
func TestHalfClosedIdleClient(t *testing.T) {
	o := &tandem.ListenOptions{}
	o.AllowHalfClose = true
	serves(t, site(), o, func(t *testing.T, address string) {
		for _, sends := range []string{"", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
			c := dialPlain(t, address)
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, err := io.WriteString(c, sends)
			require.NoError(t, err)
			require.NoError(t, c.(*net.TCPConn).CloseWrite())
			all, err := io.ReadAll(c)
			assert.NoError(t, err, "the connection does not end")
			assert.Equal(t, sends != "", strings.HasPrefix(string(all), "HTTP/1.1 200 "), "%q", all)
		}
	})
}
