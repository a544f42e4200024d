package httpsession_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/polled"
)

// patience is how long a test waits for what must happen before it calls that a failure.
const patience = 30 * time.Second

// open opens a Transport for as long as the test runs, which logs nothing unless o says where. Without io_uring the test is
// skipped, unless TANDEM_REQUIRE_URING says that this machine has it.
func open(t testing.TB, o *tandem.Options) tandem.Transport {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	tr, err := tandem.Open(o)
	if err != nil && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// listenOn opens a Transport with a listener, and returns its address.
func listenOn(t testing.TB, o *tandem.Options, h tandem.Handler) (tandem.Transport, string) {
	t.Helper()
	tr := open(t, o)
	l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(t, err)
	return tr, l.Addr().String()
}

// bothKernels runs the test on each kernel interface.
func bothKernels(t *testing.T, test func(t *testing.T, b tandem.Backend)) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) { test(t, b) })
	}
}

// onEachTransport runs the test on every backend, with loops of its own and driven by the test.
func onEachTransport(t *testing.T, test func(t *testing.T, tr tandem.Transport)) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring, tandem.Portable} {
		for _, driven := range []bool{false, true} {
			name := b.String()
			if driven {
				name += "-driven"
			}
			t.Run(name, func(t *testing.T) {
				test(t, open(t, &tandem.Options{Backend: b, CallerDriven: driven}))
			})
		}
	}
}

// until calls done again and again until it reports true.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		require.False(t, time.Now().After(deadline), "not within %v", patience)
		time.Sleep(10 * time.Microsecond)
	}
}

// driver is the part of sessions that makes things move.
type driver interface {
	Drive() (polled.Activity, error)
}

// next drives all until from has a message, or fails.
func next[M any](t *testing.T, from interface {
	Read() (M, polled.ReadStatus, error)
}, all ...driver) (m M, err error) {
	t.Helper()
	until(t, func() bool {
		for _, d := range all {
			if _, err = d.Drive(); err != nil {
				return true
			}
		}
		var status polled.ReadStatus
		m, status, err = from.Read()
		return err != nil || status == polled.Data
	})
	return m, err
}

// put drives d until it has taken m.
func put[R, W any](t *testing.T, to polled.Session[R, W], m W) {
	t.Helper()
	until(t, func() bool {
		rest, status, err := to.Write(m)
		require.NoError(t, err)
		if status == polled.Success {
			return true
		}
		m = rest
		_, err = to.Drive()
		require.NoError(t, err)
		return false
	})
}

// request makes one; content may be "".
func request(t *testing.T, method, target, content string) *http1.Request {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	return &http1.Request{Request: &http.Request{Method: method, URL: u, Header: http.Header{}}, Content: []byte(content)}
}

func response(status int, content string) *http1.Response {
	return &http1.Response{Response: &http.Response{StatusCode: status, Header: http.Header{}}, Content: []byte(content)}
}

// summary is what most tests compare.
func summary(r *http1.Response) string { return fmt.Sprintf("%d %s", r.StatusCode, r.Content) }
