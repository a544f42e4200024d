//go:build linux

package uring

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// floods are sockets whose peers send without end.
type floods struct {
	all   []*witness
	peers []int
}

// newFloods makes n sockets with room for so many bytes.
func newFloods(t *testing.T, d *Driver, n, room int) *floods {
	f := &floods{}
	for range n {
		o, peer := attachTCP(t, d)
		raw, err := peer.SyscallConn()
		require.NoError(t, err)
		fd := -1
		require.NoError(t, raw.Control(func(p uintptr) { fd = int(p) }))
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, room))
		require.NoError(t, unix.SetsockoptInt(o.sock.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, room))
		o.received = func(p []byte) { o.bytes += len(p) }
		d.Receive(&o.sock, true)
		f.all, f.peers = append(f.all, o), append(f.peers, fd)
	}
	return f
}

var zeros = make([]byte, 1<<20)

// fill gives every socket more than one receive takes.
func (f *floods) fill() {
	for _, fd := range f.peers {
		for n := 1; n > 0; {
			n, _ = backend.Send(fd, zeros)
		}
	}
}

func (f *floods) release(t *testing.T, d *Driver) {
	for _, o := range f.all {
		release1(t, d, &o.recorder)
	}
}

func release1(t *testing.T, d *Driver, o *recorder) {
	d.Release(&o.sock)
	until(t, d, func() bool { return o.released })
}

// Once receiving is switched off, at most MaxOvershoot bytes are reported, however much there is.
func TestOvershoot(t *testing.T) {
	for name, c := range map[string]Config{
		"default": {}, "large buffers": {BufferSize: 1 << 20}, "small buffers": {BufferSize: 1 << 10, Buffers: 4096},
		"tiny": {Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64},
	} {
		t.Run(name, func(t *testing.T) {
			forEachRung(t, c, func(t *testing.T, d *Driver) {
				f, size := newFloods(t, d, 4, 1<<20), c.withDefaults().BufferSize
				for round := range 4 {
					for _, o := range f.all {
						first, off := o.bytes, false
						o.received = func(p []byte) {
							assert.LessOrEqual(t, len(p), pieceBytes)
							o.bytes += len(p)
							if o.bytes-first > round*4*size && !off {
								off = true
								first = o.bytes
								d.Receive(&o.sock, false)
							}
						}
						until(t, d, func() bool { f.fill(); return off })
						polls(t, d, 3*time.Millisecond)
						assert.LessOrEqual(t, o.bytes-first, backend.MaxOvershoot, "bytes after receiving was switched off")
						assert.Zero(t, o.sock.State&armed)
					}
					for _, o := range f.all {
						d.Receive(&o.sock, true)
					}
				}
				f.release(t, d)
			})
		})
	}
}

// Beside sockets that always have more a quiet one gets what comes for it in the next turn or the one after.
func TestBulkLeavesBuffersForTheQuiet(t *testing.T) {
	forEachRung(t, Config{Buffers: 16, BufferSize: 4 << 10}, func(t *testing.T, d *Driver) {
		f := newFloods(t, d, 40, 64<<10)
		quiet, peer := attachTCP(t, d)
		d.Receive(&quiet.sock, true)
		for range 50 {
			f.fill()
			turn(t, d)
		}
		before := d.count[backend.NoBuffers]
		for i := range 20 {
			quiet.got = nil
			_, err := peer.Write([]byte("x"))
			require.NoError(t, err)
			turns := 0
			for ; len(quiet.got) == 0 && turns < 100; turns++ {
				f.fill()
				turn(t, d)
			}
			assert.LessOrEqual(t, turns, 3, "turns until message %d came", i)
		}
		assert.LessOrEqual(t, d.count[backend.NoBuffers]-before, uint64(3), "times without a buffer")
		f.release(t, d)
		release(t, d, &quiet.recorder)
	})
}

// Sockets that always have more take turns: none gets much more than another.
func TestBulkTakesTurns(t *testing.T) {
	forEachRung(t, Config{Buffers: 8, BufferSize: 1 << 10}, func(t *testing.T, d *Driver) {
		f := newFloods(t, d, 30, 64<<10)
		for range 100 {
			f.fill()
			turn(t, d)
		}
		for _, o := range f.all {
			o.bytes = 0
		}
		for range 300 {
			f.fill()
			turn(t, d)
		}
		least, most := f.all[0].bytes, 0
		for _, o := range f.all {
			least, most = min(least, o.bytes), max(most, o.bytes)
		}
		assert.NotZero(t, least, "a socket got nothing")
		assert.LessOrEqual(t, most, 2*least, "bytes of the first and of the last")
		assert.LessOrEqual(t, d.Outstanding().Starved, 30)
		f.release(t, d)
	})
}

// A burst of many small messages makes more buffers, and their memory leaves again, though nothing happens any longer.
func TestBuffersLeaveASleepingLoop(t *testing.T) {
	const n = 64
	forEachRung(t, Config{Buffers: 8, BufferSize: 4 << 10}, func(t *testing.T, d *Driver) {
		d.buffers.quietTime = 5 * time.Millisecond
		var all []*recorder
		var peers []int
		for range n {
			o, peer := attach(t, d)
			all, peers = append(all, o), append(peers, peer)
		}
		burst := func() {
			for i, o := range all {
				o.got = nil
				send(t, peers[i], []byte("burst"))
			}
			for _, o := range all {
				until(t, d, func() bool { return string(o.got) == "burst" })
			}
		}
		for range 4 {
			burst()
		}
		require.Greater(t, len(d.buffers.slabs), 1, "nothing is tested")
		for began := time.Now(); len(d.buffers.slabs) > 1; {
			sleeps(t, d)
			require.Less(t, time.Since(began), patience, "it sleeps on, with %d slabs", len(d.buffers.slabs))
		}
		until(t, d, func() bool { return d.flush.out == 0 })
		assert.Zero(t, d.flush.fd, "the file to read from is open")
		assert.Equal(t, d.buffers.perSlab, d.buffers.free)
		burst()
		release(t, d, all...)
	})
}

// Memory that its owner has kept does not leave with the slab it belongs to, nor does the loop spin for it.
func TestKeptBuffersStay(t *testing.T) {
	forEachRung(t, Config{Buffers: 8, BufferSize: 64}, func(t *testing.T, d *Driver) {
		d.buffers.quietTime = time.Millisecond
		o, peer := attach(t, d)
		var memory [][]byte
		var kept []func()
		o.received = func(p []byte) {
			o.got = append(o.got, p...)
			if k := d.Keep(); k != nil {
				kept, memory = append(kept, k), append(memory, p)
			}
		}
		send(t, peer, make([]byte, 12*64))
		until(t, d, func() bool { return len(o.got) == 12*64 })
		require.Len(t, kept, 12)
		require.Len(t, d.buffers.slabs, 2)
		for _, k := range kept[:8] {
			k() // the first slab
		}
		polls(t, d, 20*time.Millisecond)
		d.buffers.quietTime = 20 * time.Millisecond
		assert.LessOrEqual(t, polls(t, d, 100*time.Millisecond), 15, "turns in which nothing can leave")
		for _, p := range memory[8:] {
			p[0]++ // a fault, if it were unmapped
		}
		for _, k := range kept[8:] {
			k()
		}
		until(t, d, func() bool { return len(d.buffers.slabs) == 1 && d.flush.out == 0 })
		release(t, d, o)
	})
}

// A loan belongs to its delivery: one within another leaves the outer one as it was, and between them there is none.
func TestLoansNest(t *testing.T) {
	forEachRung(t, Config{Buffers: 4, BufferSize: 64}, func(t *testing.T, d *Driver) {
		assert.Nil(t, d.Keep(), "outside of a delivery")
		b := d.buffers
		out := func() int { return b.perSlab - b.free }
		b.taken()
		b.taken()
		_, none := b.lend(0, 10)
		_, first := b.lend(1, 10)
		b.giveBack(first) // not kept
		assert.Equal(t, 1, out())
		keep := d.Keep()
		require.NotNil(t, keep)
		assert.Nil(t, d.Keep(), "a second time")
		b.giveBack(none)
		assert.Equal(t, 1, out(), "the outer one is kept")
		assert.Nil(t, d.Keep(), "after the delivery")
		keep()
		b.collect()
		assert.Zero(t, out())
	})
}
