package wssession_test

import (
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/wssession"
)

// patience is how long a test waits for what must happen before it calls that a failure.
const patience = 30 * time.Second

// onEachBackend runs the test on every backend, with loops of its own.
func onEachBackend(t *testing.T, test func(t *testing.T, tr tandem.Transport)) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			test(t, openOn(t, &tandem.Options{Backend: b}))
		})
	}
}

// openOn opens a Transport until the test ends. Where io_uring cannot run the test is skipped; with TANDEM_REQUIRE_URING=1 that
// is a failure.
func openOn(t testing.TB, o *tandem.Options) tandem.Transport {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	tr, err := tandem.Open(o)
	if err != nil && o.Backend == tandem.Uring && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// echo sends every message back.
type echo struct {
	wssession.BaseHandler
	closed func(c *wssession.Conn, err error) // nil: nobody asks
}

func (echo) OnMessage(c *wssession.Conn, m websocket.Message) {
	if err := c.Write(m); err != nil {
		_ = c.Stream().AbortWith(err)
	}
}

func (h echo) OnClose(c *wssession.Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

// listen serves h at /, and returns the address.
func listen(t testing.TB, tr tandem.Transport, h wssession.Handler, o *wssession.ServerOptions) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", wssession.Serve(h, o))
	address := "127.0.0.1:0"
	if strings.Contains(tr.Info().Backend.String(), "simulated") {
		address = "localhost:0"
	}
	l, err := tr.Listen("tcp", address, httpsession.Handler(mux, nil), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// until calls done again and again until it reports true.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		require.False(t, time.Now().After(deadline), "%s: not within %v", what, patience)
		time.Sleep(10 * time.Microsecond)
	}
}
