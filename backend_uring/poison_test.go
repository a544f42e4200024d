//go:build linux

package uring

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// Bytes are lent until Received returns, or until what Keep returned is called. The buffers that the kernel has hold
// poison.
func TestLoansEnd(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	forEachRung(t, Config{Buffers: 4, BufferSize: 64}, func(t *testing.T, d *Driver) {
		for bid := range uint16(4) {
			assert.True(t, drivertest.IsPoison(d.buffers.memory(bid)), "buffer %d, which is new", bid)
		}
		o, peer := attach(t, d)
		var lent []byte
		var give func()
		o.OnBytes = func(p []byte) {
			assert.Equal(t, "bytes", string(p))
			lent = p
		}
		drivertest.Send(t, peer, []byte("bytes"))
		until(t, d, func() bool { return lent != nil })
		assert.True(t, drivertest.IsPoison(lent), "after Received")
		o.OnBytes = func(p []byte) { lent, give = p, d.Keep() }
		drivertest.Send(t, peer, []byte("bytes"))
		until(t, d, func() bool { return give != nil })
		polls(t, d, 1)
		assert.Equal(t, "bytes", string(lent), "kept")
		give()
		assert.True(t, drivertest.IsPoison(lent), "given back")
		release(t, d, o)
	})
}

// A buffer that comes back to a slab that is retired holds poison as long as the slab is mapped.
func TestRetiredBufferIsPoisoned(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	forEachRung(t, Config{Buffers: 4, BufferSize: 64}, func(t *testing.T, d *Driver) {
		require.NoError(t, d.buffers.addSlab())
		d.buffers.live = 1
		d.buffers.taken(4)
		p, before := d.buffers.lend(4, 5)
		copy(p, "bytes")
		d.buffers.giveBack(before)
		assert.True(t, drivertest.IsPoison(p))
	})
}

func TestMisusedBuffers(t *testing.T) {
	for _, c := range []struct {
		name, want string
		misuse     func(d *Driver)
	}{
		{"kept, and given back twice", "a receive buffer was given back twice", func(d *Driver) {
			d.buffers.taken(0)
			d.buffers.lend(0, 10)
			give := d.Keep()
			give()
			give()
		}},
		{"lent, and given back twice", "a receive buffer was given to the kernel twice", func(d *Driver) {
			d.buffers.taken(0)
			_, before := d.buffers.lend(0, 10)
			d.buffers.giveBack(before)
			d.buffers.back(0)
		}},
		{"written to while the kernel has it", "a receive buffer was written to after it was given back", func(d *Driver) {
			d.buffers.memory(0)[20] = 1
			d.buffers.taken(0)
			d.buffers.lend(0, 10)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			drivertest.Misuses(t, c.want, func() { c.misuse(open(t, Config{}, new(backend.Counters))) })
		})
	}
}

// What was to be sent on a socket that Close forgets may still be read by the kernel if the ring has failed, and is not if
// the driver could wait for the request.
func TestCloseTellsWhatTheKernelReads(t *testing.T) {
	for name, failed := range map[string]bool{"clean": false, "after a failure": true} {
		t.Run(name, func(t *testing.T) {
			forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
				o, _ := drivertest.TCPPair(t, d)
				sendUntilFull(t, d, o)
				require.True(t, o.Socket.Busy(), "nothing is tested, state %#x, sent %v, %v", o.Socket.State, o.Sends, o.SendErr)
				if failed {
					d.err = assert.AnError
				}
				assert.NoError(t, d.Close())
				assert.Equal(t, failed, o.Socket.Busy())
			})
		})
	}
}
