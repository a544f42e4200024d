package tandem_test

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/tandem-io/tandem"
)

// onBackends runs a test on a Transport of each backend.
func onBackends(t *testing.T, run func(t *testing.T, tr tandem.Transport)) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr, err := tandem.Open(&tandem.Options{Backend: b})
			require.NoError(t, err)
			defer func() { require.NoError(t, tr.Close()) }()
			run(t, tr)
		})
	}
}

// listenAddress is an address of a network to listen on.
func listenAddress(t *testing.T, network string) string {
	if network == "unix" {
		return filepath.Join(t.TempDir(), "s")
	}
	return "127.0.0.1:0"
}

// TestConn is package nettest's contract of a net.Conn.
func TestConn(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(network, func(t *testing.T) {
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					l, err := tandem.ListenConn(tr, network, listenAddress(t, network), nil)
					if err != nil {
						return nil, nil, nil, err
					}
					defer l.Close()
					if c1, err = tandem.DialConn(t.Context(), tr, network, l.Addr().String(), nil); err != nil {
						return nil, nil, nil, err
					}
					if c2, err = l.Accept(); err != nil {
						return nil, nil, nil, err
					}
					return c1, c2, func() { _, _ = c1.Close(), c2.Close() }, nil
				})
			})
		}
	})
}
