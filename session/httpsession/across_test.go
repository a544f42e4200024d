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

	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// Exchanges that follow each other on a connection: what is left of one must not touch the next.

// reads reads one response with its content.
func reads(t *testing.T, c net.Conn, in *bufio.Reader) string {
	t.Helper()
	r, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	content, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(content)
}

// TestTimesOfContentThatNobodyReads has a handler answer without reading, and a client that never sends the rest.
func TestTimesOfContentThatNobodyReads(t *testing.T) {
	const limit = 100 * time.Millisecond
	blocks := httpsession.Blocking(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	pauses := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{Data: func([]byte) {}})
		assert.NoError(t, err)
		x.Pause()
		_, _ = io.WriteString(x, "answer")
		assert.NoError(t, x.Close())
	})
	for name, h := range map[string]http.Handler{"blocking": blocks, "paused": pauses} {
		t.Run(name, func(t *testing.T) {
			handling(t, h, &httpsession.ServerOptions{Parts: inParts, MessageTimeout: limit}, func(t *testing.T, address string, _ *sessiontest.Log) {
				c := dialPlain(t, address)
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc")
				require.NoError(t, err)
				all, err := io.ReadAll(c)
				assert.NoError(t, err, "the connection did not end")
				assert.Equal(t, 1, strings.Count(string(all), "answer"), "%q", all)
			})
		})
	}
}

// TestStaleAsync uses the Async of an exchange that is over while the next one of the connection goes on.
func TestStaleAsync(t *testing.T) {
	var old, now *httpsession.Async
	pieces := make(chan string, 10)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{Data: func(p []byte) { pieces <- string(p) }})
		assert.NoError(t, err)
		x.Pause()
		if r.URL.Path == "/first" {
			old = x
			_, _ = io.WriteString(x, "first")
			assert.NoError(t, x.Close())
			return
		}
		now = x
		assert.False(t, old.Writable(), "after the end")
		old.Resume()
		assert.NoError(t, old.Abort())
		x.Stream().After(100*time.Millisecond, func() {
			assert.Empty(t, pieces, "content came while it was paused")
			_, _ = io.WriteString(now, "second")
			assert.NoError(t, now.Close())
		})
	})
	handling(t, h, &httpsession.ServerOptions{Parts: inParts}, func(t *testing.T, address string, _ *sessiontest.Log) {
		c := dialPlain(t, address)
		in := bufio.NewReader(c)
		for _, path := range []string{"first", "second"} {
			_, err := io.WriteString(c, "POST /"+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
			require.NoError(t, err)
			if path == "first" {
				_, err = io.WriteString(c, "abcde")
			} else {
				time.AfterFunc(20*time.Millisecond, func() { _, _ = io.WriteString(c, "abcde") })
			}
			require.NoError(t, err)
			assert.Equal(t, path, reads(t, c, in))
		}
	})
}

// TestTimesAfterPause has the content held up for nearly all of MessageTimeout. The client has all of it again afterwards.
func TestTimesAfterPause(t *testing.T) {
	const limit = 600 * time.Millisecond
	ends := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var x *httpsession.Async
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{
			Data:  func([]byte) {},
			End:   func(http.Header) { _ = x.Close() },
			Close: func(err error) { ends <- err },
		})
		assert.NoError(t, err)
		x.Pause()
		x.Stream().After(limit*9/10, x.Resume)
	})
	handling(t, h, &httpsession.ServerOptions{Parts: inParts, MessageTimeout: limit}, func(t *testing.T, address string, _ *sessiontest.Log) {
		c := dialPlain(t, address)
		_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc")
		require.NoError(t, err)
		time.Sleep(limit * 13 / 10)
		_, err = io.WriteString(c, "de")
		require.NoError(t, err)
		assert.NoError(t, one(t, ends))
	})
}
