package httpsession_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// TestTimes has clients that stop at every place. Each connection ends, and not before its time.
func TestTimes(t *testing.T) {
	const limit = 300 * time.Millisecond
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })
	for name, k := range map[string]struct {
		options httpsession.ServerOptions
		sends   string
		goesOn  bool
	}{
		"no head":        {httpsession.ServerOptions{ReadHeaderTimeout: limit}, "", false},
		"half a head":    {httpsession.ServerOptions{ReadHeaderTimeout: limit}, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT", false},
		"idle":           {httpsession.ServerOptions{IdleTimeout: limit}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false},
		"idle, no limit": {httpsession.ServerOptions{ReadHeaderTimeout: limit}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
		"content":        {httpsession.ServerOptions{ReadHeaderTimeout: limit, IdleTimeout: limit}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handling(t, h, &k.options, func(t *testing.T, address string, _ *sessiontest.Log) {
				begin := time.Now()
				c := dialPlain(t, address)
				_, err := io.WriteString(c, k.sends)
				require.NoError(t, err)
				if k.goesOn {
					_ = c.SetReadDeadline(time.Now().Add(3 * limit))
				}
				all, err := io.ReadAll(c)
				if k.goesOn {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the connection has ended")
					return
				}
				require.NoError(t, err)
				assert.GreaterOrEqual(t, time.Since(begin), limit)
				assert.Equal(t, strings.Count(k.sends, "\r\n\r\n"), strings.Count(string(all), "HTTP/1.1 200 "), "%q", all)
			})
		})
	}
}

// one returns how an exchange has ended.
func one(t *testing.T, ends <-chan error) error {
	t.Helper()
	select {
	case err := <-ends:
		return err
	case <-time.After(patience):
		require.FailNow(t, "Close was not called")
		return nil
	}
}

// TestTimesOfContent has a client that is slow, and one that is held up, which is not its fault.
func TestTimesOfContent(t *testing.T) {
	const limit = 100 * time.Millisecond
	ends := make(chan error, 10)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var x *httpsession.Async
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{
			Data:  func([]byte) {},
			End:   func(http.Header) { _ = x.Close() },
			Close: func(err error) { ends <- err },
		})
		assert.NoError(t, err)
		if r.URL.Path == "/held" {
			x.Pause()
			x.Stream().After(3*limit, x.Resume)
		}
	})
	o := &httpsession.ServerOptions{Parts: inParts, MessageTimeout: limit}
	handling(t, h, o, func(t *testing.T, address string, _ *sessiontest.Log) {
		c := dialPlain(t, address)
		_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc")
		require.NoError(t, err)
		assert.ErrorIs(t, one(t, ends), os.ErrDeadlineExceeded)
		_, err = io.ReadAll(c)
		assert.NoError(t, err)
		held := dialPlain(t, address)
		_, err = io.WriteString(held, "POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde")
		require.NoError(t, err)
		assert.NoError(t, one(t, ends))
		r, err := http.ReadResponse(bufio.NewReader(held), nil)
		require.NoError(t, err)
		assert.Equal(t, 200, r.StatusCode)
	})
}

// TestWriteTimeout has clients that read nothing: of a response that is whole, and of one that goes on.
func TestWriteTimeout(t *testing.T) {
	ends := make(chan error, 10)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/whole" {
			_, _ = w.Write(make([]byte, 15<<20))
			return
		}
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{Close: func(err error) { ends <- err }})
		assert.NoError(t, err)
		_, err = x.Write(make([]byte, 15<<20))
		assert.NoError(t, err)
	})
	handling(t, h, &httpsession.ServerOptions{WriteTimeout: 100 * time.Millisecond}, func(t *testing.T, address string, _ *sessiontest.Log) {
		var clients sync.WaitGroup
		for _, path := range []string{"/whole", "/parts"} {
			clients.Go(func() {
				c := dialPlain(t, address)
				_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
				assert.NoError(t, err)
				for range 500 { // the client does not read, and learns of the reset when it writes
					if _, err = io.WriteString(c, "x"); err != nil {
						break
					}
					time.Sleep(20 * time.Millisecond)
				}
				assert.Error(t, err, "the connection lives: %s", path)
			})
		}
		clients.Wait()
		assert.ErrorIs(t, one(t, ends), os.ErrDeadlineExceeded)
	})
}

// echoing echoes what comes.
type echoing struct{ session.BaseHandler }

func (echoing) OnData(s *session.Stream) {
	p, _ := s.Next(-1)
	_, _ = s.Write(p)
}

// TestTimesEndWithHTTP hands a connection over. The timeouts of HTTP do not end it.
func TestTimesEndWithHTTP(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "echo")
		w.Header().Set("Connection", "upgrade")
		_, err := httpsession.HandOver(w, http.StatusSwitchingProtocols, echoing{})
		assert.NoError(t, err)
	})
	const limit = 50 * time.Millisecond
	o := &httpsession.ServerOptions{ReadHeaderTimeout: limit, IdleTimeout: limit, WriteTimeout: limit}
	handling(t, h, o, func(t *testing.T, address string, _ *sessiontest.Log) {
		c := dialPlain(t, address)
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
		require.NoError(t, err)
		in := bufio.NewReader(c)
		_, err = http.ReadResponse(in, nil)
		require.NoError(t, err)
		time.Sleep(4 * limit)
		_, err = io.WriteString(c, "hello")
		require.NoError(t, err)
		got := make([]byte, 5)
		_, err = io.ReadFull(in, got)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(got))
	})
}

// TestIdleTimeoutWaitsForTheResponse: a client that is still reading is not idle.
func TestIdleTimeoutWaitsForTheResponse(t *testing.T) {
	const size = 15 << 20
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) })
	o := &httpsession.ServerOptions{IdleTimeout: 50 * time.Millisecond, ReadHeaderTimeout: 50 * time.Millisecond}
	handling(t, h, o, func(t *testing.T, address string, _ *sessiontest.Log) {
		c := dialPlain(t, address)
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		time.Sleep(200 * time.Millisecond) // the client is slow
		in := bufio.NewReader(c)
		for range 2 {
			r, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, r.Body)
			require.NoError(t, err)
			assert.EqualValues(t, size, n)
		}
		_, err = in.ReadByte()
		assert.ErrorIs(t, err, io.EOF, "behind the last response")
	})
}
