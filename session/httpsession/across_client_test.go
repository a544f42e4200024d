package httpsession_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
)

// TestClientConnUnasked has a server send a second response behind the first: it answers nothing, and least of all a request
// that is sent when it has come already.
func TestClientConnUnasked(t *testing.T) {
	onLoops(t, func(t *testing.T, tr tandem.Transport) {
		address, release := scripted(t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", true)
		defer release()
		var got []string
		closed := calling(t, tr, address, nil, func(c *httpsession.ClientConn, _ func()) {
			assert.NoError(t, c.Do(request(t, "GET", "http://a/1", ""), func(r *http1.Response, err error) {
				assert.NoError(t, err)
				got = append(got, string(r.Content))
				assert.ErrorIs(t, c.Do(request(t, "GET", "http://a/2", ""), func(r *http1.Response, _ error) {
					if r != nil {
						got = append(got, string(r.Content))
					}
					_ = c.Stream().Close()
				}), net.ErrClosed)
			}))
		})
		assert.Equal(t, []string{"one"}, got)
		assert.Equal(t, io.EOF, closed)
	})
}

// TestClientUnasked is the same for a Client and for a Pool.
func TestClientUnasked(t *testing.T) {
	c, server := talk(t, nil)
	put(t, c, request(t, "GET", "http://a/1", ""))
	say(t, server, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
	r, err := next(t, c, c)
	require.NoError(t, err)
	assert.Equal(t, "200 one", summary(r))
	_, _, err = c.Write(request(t, "GET", "http://a/2", ""))
	assert.ErrorIs(t, err, net.ErrClosed)
}

// TestClientSwitchesForTheRightRequest has a server switch protocols for a request that has not asked for that, in front of one
// that has; and the other way round, where it may.
func TestClientSwitchesForTheRightRequest(t *testing.T) {
	for _, right := range []bool{false, true} {
		c, server := talk(t, &httpsession.ClientOptions{Pipeline: 2})
		for i := range 2 {
			q := request(t, "GET", "http://a/", "")
			if (i == 0) == right {
				q.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"x"}}
			}
			put(t, c, q)
		}
		say(t, server, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		_, err := next(t, c, c)
		assert.Equal(t, right, err == nil, "%v", err)
	}
}

// tunnel is another protocol on the stream of a ClientConn.
type tunnel struct {
	session.BaseHandler
	ends chan error
}

func (h tunnel) OnClose(_ *session.Stream, err error) { h.ends <- err }

// TestClientConnSwitches has a request behind one that asks for another protocol. When the server switches, it ends at once,
// and its timeout leaves the stream alone, which belongs to the other protocol.
func TestClientConnSwitches(t *testing.T) {
	onLoops(t, func(t *testing.T, tr tandem.Transport) {
		address, release := scripted(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", true)
		defer release()
		other := tunnel{ends: make(chan error, 1)}
		behind := make(chan error, 2)
		c := httpsession.NewClientConn(&httpsession.ClientOptions{Pipeline: 2, ExchangeTimeout: 200 * time.Millisecond})
		begun := false
		c.Ready = func() {
			if begun {
				return
			}
			begun = true
			q := request(t, "GET", "http://a/", "")
			q.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"x"}}
			assert.NoError(t, c.Do(q, func(r *http1.Response, err error) {
				assert.NoError(t, err)
				c.Stream().SetHandler(other)
			}))
			assert.NoError(t, c.Do(request(t, "GET", "http://a/behind", ""), func(_ *http1.Response, err error) { behind <- err }))
		}
		s, err := tr.Connect("tcp", address, c, nil)
		require.NoError(t, err)
		select {
		case err := <-behind:
			assert.ErrorIs(t, err, net.ErrClosed)
		case <-time.After(patience):
			require.FailNow(t, "the request behind was not told")
		}
		select {
		case err := <-other.ends:
			assert.Fail(t, "the stream of the other protocol has ended", "%v", err)
		case <-time.After(400 * time.Millisecond):
		}
		assert.NoError(t, s.Abort())
	})
}

// TestClientConnPanics has the function of one exchange panic at the end of the connection: the others, and Closed, are called
// all the same.
func TestClientConnPanics(t *testing.T) {
	onLoops(t, func(t *testing.T, tr tandem.Transport) {
		address, release := scripted(t, "", false)
		defer release()
		told := false
		closed := calling(t, tr, address, &httpsession.ClientOptions{Pipeline: 2}, func(c *httpsession.ClientConn, _ func()) {
			assert.NoError(t, c.Do(request(t, "GET", "http://a/1", ""), func(*http1.Response, error) { panic("no") }))
			assert.NoError(t, c.Do(request(t, "GET", "http://a/2", ""), func(_ *http1.Response, err error) { told = err != nil }))
		})
		assert.True(t, told, "the other exchange was not told")
		assert.Equal(t, io.EOF, closed)
	})
}
