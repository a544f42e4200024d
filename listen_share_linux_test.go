package tandem_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// TestSharedListenConn closes the listener of ListenConn that others go on with: Accept returns what was accepted, whatever
// the limit is, and then that the listener is closed. A Shutdown drops what nobody accepts.
func TestSharedListenConn(t *testing.T) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		for _, accepts := range []bool{true, false} {
			t.Run(b.String(), func(t *testing.T) {
				tr := openOrSkip(t, &tandem.Options{Backend: b, Loops: 2})
				ln, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", &tandem.ListenOptions{MaxConns: 2})
				require.NoError(t, err)
				l := ln.(tandem.Listener)
				f, err := l.File()
				require.NoError(t, err)
				defer f.Close()
				const n = 5
				var peers []net.Conn
				for range n {
					c, err := net.Dial("tcp", ln.Addr().String())
					require.NoError(t, err)
					defer c.Close()
					require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
					peers = append(peers, c)
				}
				require.Eventually(t, func() bool { return l.Stats().Accepted == 2 }, 20*time.Second, time.Millisecond, "connections are not accepted")
				require.NoError(t, ln.Close())
				taken := int(l.Stats().Accepted) // with what was parked
				assert.Zero(t, l.Stats().Parked)
				if !accepts {
					assert.Equal(t, taken, l.Stats().Streams)
					require.NoError(t, tr.Close())
					assert.Zero(t, l.Stats().Streams, "connections that wait for Accept")
					return
				}
				for range taken {
					c, err := ln.Accept()
					require.NoError(t, err)
					_, err = io.WriteString(c, "served")
					require.NoError(t, err)
					require.NoError(t, c.Close())
				}
				_, err = ln.Accept()
				require.ErrorIs(t, err, net.ErrClosed)
				served := 0
				again, err := net.FileListener(f) // who goes on finds the others
				require.NoError(t, err)
				defer again.Close()
				for range n - taken {
					c, err := again.Accept()
					require.NoError(t, err)
					_, err = io.WriteString(c, "served")
					require.NoError(t, err)
					require.NoError(t, c.Close())
				}
				for _, c := range peers {
					got, err := io.ReadAll(c)
					assert.NoError(t, err)
					assert.Equal(t, "served", string(got))
					served++
				}
				assert.Equal(t, n, served)
			})
		}
	}
}
