package httpsession_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// farm is a pool whose connections end in the test.
type farm struct {
	*httpsession.Pool
	t     *testing.T
	now   time.Time
	conns []*farmed
}

// farmed is the far end of one connection.
type farmed struct {
	*sessiontest.End
	address string
}

func newFarm(t *testing.T, o httpsession.PoolOptions) *farm {
	f := &farm{t: t, now: time.Unix(0, 0)}
	o.Now = func() time.Time { return f.now }
	o.Dial = func(scheme, address string) (polled.Bytes, error) {
		if address == "down:80" {
			return nil, errors.New("no route")
		}
		a, b := sessiontest.Pair(1 << 20)
		f.conns = append(f.conns, &farmed{b, scheme + "://" + address})
		return a, nil
	}
	f.Pool = httpsession.NewPool(nil, &o)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// begin starts an exchange and drives it once.
func (f *farm) begin(method, target string) *httpsession.Exchange {
	f.t.Helper()
	x, err := f.Do(request(f.t, method, target, ""))
	require.NoError(f.t, err)
	f.drive(x)
	return x
}

func (f *farm) drive(x *httpsession.Exchange) {
	f.t.Helper()
	for range 2 {
		_, err := x.Drive()
		require.NoError(f.t, err)
	}
}

// answer has connection i answer what it has got, which must be for path.
func (f *farm) answer(i int, path, content string) {
	f.t.Helper()
	require.Contains(f.t, heard(f.t, f.conns[i].End), " "+path+" HTTP/1.1", "connection %d", i)
	say(f.t, f.conns[i].End, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(content), content))
}

// ends reads the response of x and closes it.
func (f *farm) ends(x *httpsession.Exchange, want string) {
	f.t.Helper()
	r, err := next(f.t, x, x)
	require.NoError(f.t, err)
	require.Equal(f.t, want, string(r.Content))
	require.NoError(f.t, x.Close())
}

func (f *farm) has(open, idle int) {
	f.t.Helper()
	assert.Equal(f.t, open, f.Open())
	assert.Equal(f.t, idle, f.Idle())
}

func TestPoolReuses(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{})
	for i := range 3 {
		x := f.begin("GET", "http://a/x")
		f.has(1, 0)
		f.answer(0, "/x", fmt.Sprint(i))
		f.ends(x, fmt.Sprint(i))
		f.has(1, 1)
	}
	x := f.begin("GET", "http://b:81/y") // another server
	f.has(2, 1)
	f.answer(1, "/y", "b")
	f.ends(x, "b")
	assert.Equal(t, "http://a:80", f.conns[0].address, "dialled")
	assert.Equal(t, "http://b:81", f.conns[1].address, "dialled")
}

func TestPoolLimitPerHost(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{PerHost: 1})
	first, second, third := f.begin("GET", "http://a/1"), f.begin("GET", "http://a/2"), f.begin("GET", "http://a/3")
	other := f.begin("GET", "http://b/")
	f.has(2, 0)
	assert.Equal(t, polled.Establishing, second.Status())
	assert.Equal(t, polled.Established, first.Status())
	f.answer(0, "/1", "one")
	f.ends(first, "one")
	f.drive(third) // it is not its turn
	f.has(2, 1)
	require.NoError(t, second.Close()) // somebody loses patience
	f.drive(third)
	f.answer(0, "/3", "three")
	f.ends(third, "three")
	f.answer(1, "/", "b")
	f.ends(other, "b")
	f.has(2, 2)
}

func TestPoolLimitInTotal(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{Total: 2})
	a, b := f.begin("GET", "http://a/"), f.begin("GET", "http://b/")
	c := f.begin("GET", "http://c/")
	f.has(2, 0)
	f.answer(1, "/", "b")
	f.ends(b, "b")
	f.drive(c) // takes the place of the one that is idle
	f.has(2, 0)
	_, _, err := f.conns[1].Read()
	assert.Error(t, err, "the idle connection is still open")
	f.answer(2, "/", "c")
	f.ends(c, "c")
	f.answer(0, "/", "a")
	f.ends(a, "a")
}

func TestPoolIdleTimeout(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{IdleTimeout: time.Minute})
	x := f.begin("GET", "http://a/")
	f.answer(0, "/", "1")
	f.ends(x, "1")
	f.now = f.now.Add(59 * time.Second)
	assert.Equal(t, polled.Idle, f.Drive(), "there is nothing to do")
	f.has(1, 1)
	f.now = f.now.Add(time.Second)
	assert.Equal(t, polled.Active, f.Drive(), "there is something to do")
	f.has(0, 0)
}

func TestPoolNoticesClosedConnections(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{})
	for i, end := range []func(*sessiontest.End){
		func(e *sessiontest.End) { _ = e.Close() },
		func(e *sessiontest.End) { e.Reset() },
		func(e *sessiontest.End) { say(t, e, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") },
	} {
		x := f.begin("GET", "http://a/")
		f.answer(i, "/", "1")
		f.ends(x, "1")
		end(f.conns[i].End)
		f.Drive()
		f.has(0, 0)
	}
}

// loseOne has a request meet a connection that its server closes just then.
func loseOne(t *testing.T, method string) (*farm, *httpsession.Exchange) {
	f := newFarm(t, httpsession.PoolOptions{})
	x := f.begin("GET", "http://a/")
	f.answer(0, "/", "1")
	f.ends(x, "1")
	x = f.begin(method, "http://a/again")
	f.has(1, 0)
	_ = f.conns[0].Close()
	return f, x
}

func TestPoolSendsAgain(t *testing.T) {
	f, x := loseOne(t, "GET")
	r, status, err := x.Read()
	require.NoError(t, err)
	require.Nil(t, r)
	require.Equal(t, polled.None, status)
	f.drive(x)
	f.has(1, 0)
	f.answer(1, "/again", "2")
	f.ends(x, "2")

	_, x = loseOne(t, "POST")
	_, err = next(t, x, x)
	assert.Error(t, err, "a POST was sent again")

	f, x = loseOne(t, "GET")
	_, _, _ = x.Read()
	f.drive(x)
	_ = f.conns[1].Close() // a new connection
	_, err = next(t, x, x)
	assert.Error(t, err, "a request was sent a third time")
	f.has(0, 0)
}

func TestPoolDoesNotKeep(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{})
	unread := f.begin("GET", "http://a/")
	require.NoError(t, unread.Close()) // before its response
	f.has(0, 0)
	last := f.begin("GET", "http://a/")
	heard(t, f.conns[1].End)
	say(t, f.conns[1].End, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
	f.ends(last, "x")
	f.has(0, 0)
}

func TestPoolClosed(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{PerHost: 1})
	idle, busy, waits := f.begin("GET", "http://a/"), f.begin("GET", "http://b/"), f.begin("GET", "http://b/2")
	f.answer(0, "/", "a")
	f.ends(idle, "a")
	require.NoError(t, f.Close())
	f.has(1, 0)
	f.answer(1, "/", "b")
	f.ends(busy, "b")
	f.has(0, 0)
	_, err := waits.Drive()
	assert.ErrorIs(t, err, net.ErrClosed, "one that waits")
	_, err = f.Do(request(t, "GET", "http://a/", ""))
	assert.ErrorIs(t, err, net.ErrClosed, "a new one")
}

func TestPoolBadRequests(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{})
	noHost := request(t, "GET", "/path", "")
	bad := request(t, "BAD METHOD", "http://a/", "")
	for _, r := range []*http1.Request{nil, {}, noHost, bad} {
		_, err := f.Do(r)
		assert.Error(t, err, "%v is taken", r)
	}
	x, err := f.Do(request(t, "GET", "http://down/", ""))
	require.NoError(t, err)
	_, err = x.Drive()
	assert.Error(t, err, "a dial that fails")
	assert.Equal(t, polled.Terminated, x.Status(), "a dial that fails")
	f.has(0, 0)
}

func TestPoolAgainstNetHTTP(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := oracle(t)
		p := httpsession.NewPool(tr, &httpsession.PoolOptions{PerHost: 4})
		defer p.Close()
		const all = 200
		running := map[*httpsession.Exchange]string{}
		answered := 0
		begin := func(i int) {
			content := fmt.Sprintf("exchange %d", i)
			x, err := p.Do(request(t, "PUT", server.URL+"/echo", content))
			require.NoError(t, err)
			running[x] = "200 " + content
		}
		for i := range all {
			begin(i)
		}
		until(t, func() bool {
			for x, want := range running {
				_, err := x.Drive()
				require.NoError(t, err)
				r, status, err := x.Read()
				require.NoError(t, err)
				if status != polled.Data {
					continue
				}
				assert.Equal(t, want, summary(r))
				answered++
				delete(running, x)
				_ = x.Close()
			}
			return len(running) == 0
		})
		assert.Equal(t, all, answered)
		assert.LessOrEqual(t, p.Open(), 4)
		assert.Equal(t, p.Idle(), p.Open())
	})
}
