package simulated_test

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestTLSDetach gives a connection with TLS away, with bytes unread and queued, on a kernel that cuts records anywhere. Its
// Conn goes on in both directions, and says close_notify.
func TestTLSDetach(t *testing.T) {
	for seed := range uint64(5) {
		bubbles(t, func(t *testing.T, completions bool) {
			w, _ := stepped(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()}, 1)
			server, client := &hooks{}, &hooks{}
			got, eofs := collects(server), 0
			server.eof = func(*session.Stream) { eofs++ }
			server.data = func(s *session.Stream) {
				_, _ = s.WriteTo(got)
				_, _ = s.Write([]byte("answer"))
			}
			_, s := w.encrypted(server, client, session.StreamOptions{AllowHalfClose: true})
			w.steps("OnOpen", client.isOpen)
			require.NoError(t, w.ask("a Write", func() error { _, err := s.Write([]byte("queued,")); return err }))
			c, err := s.Detach()
			require.NoError(t, err)
			require.NoError(t, w.ask("a Write", func() error { _, err := c.Write([]byte("late")); return err }))
			w.steps("OnClose", client.over)
			require.NoError(t, client.err)
			w.steps("what was sent", func() bool { return got.String() == "queued,late" })
			p := make([]byte, 6)
			require.NoError(t, w.ask("a Read", func() error { _, err := io.ReadFull(c, p); return err }))
			require.Equal(t, "answer", string(p))
			require.NoError(t, w.ask("CloseWrite", c.(interface{ CloseWrite() error }).CloseWrite))
			w.steps("OnEOF", func() bool { return eofs > 0 })
			state, ok := server.s.TLS()
			require.True(t, ok)
			require.False(t, state.Truncated)
			require.NoError(t, server.s.Close())
			require.NoError(t, w.ask("the rest", func() error { _, err := io.Copy(io.Discard, c); return err }))
			require.NoError(t, w.ask("Close", c.Close))
			w.steps("the server's OnClose", server.over)
			w.endStepped()
		})
	}
}

// TestTLSDetachAtOnce detaches, writes and closes in one callback. The server has no tickets to send, which would meet a
// closed connection, and be answered with a reset. A Conn sends by a goroutine, for which virtual time waits in a bubble alone.
func TestTLSDetachAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		bubbles(t, func(t *testing.T, completions bool) {
			w, _ := stepped(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()}, 1)
			server, client := &hooks{}, &hooks{}
			got, eofs := collects(server), 0
			server.eof = func(*session.Stream) { eofs++ }
			client.open = func(s *session.Stream) {
				_, _ = s.Write([]byte("queued,"))
				var c net.Conn
				c, err := s.Detach()
				require.NoError(t, err)
				_, err = c.Write([]byte("early"))
				require.NoError(t, err)
				require.NoError(t, c.Close())
			}
			config, o := serverTLS(), session.StreamOptions{AllowHalfClose: true}
			config.SessionTicketsDisabled = true
			at := w.serve(server, &session.ListenOptions{TLS: config, StreamOptions: o})
			_, err := w.e.Connect("tcp", at, client, &session.DialOptions{TLS: clientTLS(), StreamOptions: o})
			require.NoError(t, err)
			w.steps("OnClose", client.over)
			require.NoError(t, client.err)
			w.steps("OnEOF", func() bool { return eofs > 0 })
			require.Equal(t, "queued,early", got.String())
			state, ok := server.s.TLS()
			require.True(t, ok)
			require.False(t, state.Truncated)
			require.NoError(t, server.s.Close())
			w.steps("the server's OnClose", server.over)
			w.endStepped()
		})
	}
}
