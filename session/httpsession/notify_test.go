package httpsession_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// bell is what sessions ring and their owner waits for.
type bell chan struct{}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

func (b bell) wait(t *testing.T, what string) {
	t.Helper()
	select {
	case <-b:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "nobody was woken", "for %s", what)
	}
}

// onBackends runs a test on a Transport with loops of each backend that there is.
func onBackends(t *testing.T, run func(t *testing.T, tr tandem.Transport)) {
	for _, backend := range []tandem.Backend{tandem.Auto, tandem.Epoll, tandem.Portable} {
		t.Run(backend.String(), func(t *testing.T) {
			tr, err := tandem.Open(&tandem.Options{Backend: backend, Loops: 2, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Skipf("NOT TESTED: %v", err)
			}
			defer tr.Close()
			run(t, tr)
		})
	}
}

// TestPoolNotifies has more exchanges than a pool may have connections. Their owner waits for calls, and for nothing else.
func TestPoolNotifies(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	defer server.Close()
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		const exchanges = 40
		b := make(bell, 1)
		pool := httpsession.NewPool(tr, &httpsession.PoolOptions{PerHost: 3, Client: httpsession.ClientOptions{Notify: b.ring}})
		defer pool.Close()
		var left []*httpsession.Exchange
		want := map[*httpsession.Exchange]string{}
		for i := range exchanges {
			path := fmt.Sprintf("/%d", i)
			r, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
			require.NoError(t, err)
			x, err := pool.Do(&http1.Request{Request: r})
			require.NoError(t, err)
			left, want[x] = append(left, x), path
		}
		for len(left) > 0 {
			for more := true; more; {
				more = false
				var waiting []*httpsession.Exchange
				for _, x := range left {
					activity, err := x.Drive()
					require.NoError(t, err)
					r, status, err := x.Read()
					require.NoError(t, err)
					more = more || activity == polled.Active || status != polled.None
					if status != polled.Data {
						waiting = append(waiting, x)
						continue
					}
					assert.Equal(t, want[x], string(r.Content))
					require.NoError(t, x.Close())
				}
				left = waiting
			}
			if len(left) > 0 {
				b.wait(t, fmt.Sprintf("%d exchanges", len(left)))
			}
		}
		server.CloseClientConnections() // which the idle connections tell
		for pool.Open() > 0 {
			b.wait(t, "the end of idle connections")
			pool.Drive()
		}
	})
}

// TestServerNotifies has a server and a client on the same Transport, each of which waits for calls alone.
func TestServerNotifies(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		const requests = 30
		l, err := polled.Listen(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		defer l.Close()
		ended := make(chan int, 1)
		go func() { ended <- serve(t, l) }()
		b := make(bell, 1)
		c, err := httpsession.Connect(tr, l.Addr().String(), &httpsession.ClientOptions{Notify: b.ring, Pipeline: 4})
		require.NoError(t, err)
		for sent, came := 0, 0; came < requests; {
			activity, err := c.Drive()
			require.NoError(t, err)
			_, status, err := c.Read()
			require.NoError(t, err)
			more := activity == polled.Active || status != polled.None
			if status == polled.Data {
				came++
			}
			if sent < requests {
				r, err := http.NewRequest(http.MethodGet, "http://server/", nil)
				require.NoError(t, err)
				r.Close = sent == requests-1
				_, status, err := c.Write(&http1.Request{Request: r})
				require.NoError(t, err)
				if status == polled.Success {
					sent, more = sent+1, true
				}
			}
			if !more {
				b.wait(t, fmt.Sprintf("response %d", came))
			}
		}
		require.NoError(t, c.Close())
		assert.Equal(t, requests, <-ended)
	})
}

// serve answers the requests of one client, and returns how many there were.
func serve(t *testing.T, l *polled.Listener) (n int) {
	b := make(bell, 1)
	assert.NoError(t, l.Notify(b.ring))
	var s *httpsession.Server
	for s == nil {
		accepted, ok, err := l.Accept()
		switch {
		case !assert.NoError(t, err):
			return n
		case ok:
			s = httpsession.NewServer(accepted, nil)
		default:
			select {
			case <-b:
			case <-time.After(20 * time.Second):
				assert.Fail(t, "no session was told of")
				return n
			}
		}
	}
	assert.NoError(t, s.Notify(b.ring))
	for s.Status() != polled.Terminated {
		activity, err := s.Drive()
		if err != nil {
			break
		}
		r, status, _ := s.Read()
		if status == polled.Data {
			n++
			_, _, err := s.Write(&http1.Response{Response: &http.Response{StatusCode: http.StatusOK, Request: r.Request}})
			assert.NoError(t, err)
			continue
		}
		if activity == polled.Active || status != polled.None || s.Status() == polled.Terminated {
			continue
		}
		select {
		case <-b:
		case <-time.After(20 * time.Second):
			assert.Fail(t, "no request was told of", "%d have come", n)
			return n
		}
	}
	return n
}

// TestNotifyOfWhatIsNoNotifier is an error.
func TestNotifyOfWhatIsNoNotifier(t *testing.T) {
	a, _ := sessiontest.Pair(100)
	err := httpsession.NewClient(a, nil).Notify(func() {})
	assert.ErrorContains(t, err, "sessiontest.End")
}
