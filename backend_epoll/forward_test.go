//go:build linux

package epoll

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// forwarder takes up to take bytes of each piece to a socket.
type forwarder struct {
	to         int
	off        bool
	take       int
	asked, all int
}

func (f *forwarder) Wants() bool {
	f.asked++
	return !f.off
}

func (f *forwarder) Forward(p *backend.Pipe, n int) int {
	moved, err := p.Drain(backend.NewDescriptor(f.to), min(n, f.take))
	if err != nil {
		panic(err)
	}
	f.all += moved
	return moved
}

// TestForward has a Forwarder take all, a part or nothing of what comes: the owner gets the rest, in order, and the end.
func TestForward(t *testing.T) {
	for name, f := range map[string]forwarder{"all": {take: 1 << 20}, "a part": {take: 1000}, "nothing": {}, "off": {off: true}} {
		t.Run(name, func(t *testing.T) {
			forEachSleep(t, func(t *testing.T, d *Driver) {
				f := f
				o, peer := drivertest.TCPPair(t, d)
				to, from := drivertest.Sockets(t)
				f.to = to
				require.NoError(t, unix.SetNonblock(from, true))
				o.Socket.Forward = &f
				d.Receive(&o.Socket, true)
				want, forwarded := make([]byte, 0, 200_000), []byte(nil)
				b := make([]byte, 1<<20)
				for i := range 50 {
					piece := bytes.Repeat([]byte{byte(i)}, 4000)
					want = append(want, piece...)
					_, err := peer.Write(piece)
					require.NoError(t, err)
					drivertest.Until(t, d, func() bool { return f.all+len(o.Got) == len(want) })
					for n, err := unix.Read(from, b); n > 0 && err == nil; n, err = unix.Read(from, b) {
						forwarded = append(forwarded, b[:n]...)
					}
				}
				require.Len(t, forwarded, f.all)
				if f.take == 1000 {
					require.Positive(t, len(o.Got))
					require.Positive(t, len(forwarded))
				} else {
					require.True(t, bytes.Equal(want, append(forwarded, o.Got...)), "other bytes")
				}
				require.NoError(t, peer.CloseWrite())
				drivertest.Until(t, d, func() bool { return o.Ends > 0 })
				assert.Equal(t, io.EOF, o.EndErr)
				assert.Positive(t, f.asked)
				drivertest.Release(t, d, o)
			})
		})
	}
}

// TestForwardOfAReset has the peer reset.
func TestForwardOfAReset(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		o, peer := drivertest.TCPPair(t, d)
		o.Socket.Forward = &forwarder{}
		d.Receive(&o.Socket, true)
		require.NoError(t, peer.SetLinger(0))
		require.NoError(t, peer.Close())
		drivertest.Until(t, d, func() bool { return o.Ends > 0 })
		assert.ErrorIs(t, o.EndErr, unix.ECONNRESET)
		drivertest.Release(t, d, o)
	})
}
