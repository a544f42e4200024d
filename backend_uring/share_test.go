//go:build linux

package uring

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// flood is a socket whose peer sends without end.
type flood struct {
	*drivertest.Recorder
	bytes int // received
}

// floods are many of them.
type floods struct {
	all   []*flood
	peers []int
}

// newFloods makes n sockets whose kernel buffers have room for that many bytes.
func newFloods(t *testing.T, d *Driver, n, room int) *floods {
	f := &floods{}
	for range n {
		r, peer := drivertest.TCPPair(t, d)
		o := &flood{Recorder: r}
		raw, err := peer.SyscallConn()
		require.NoError(t, err)
		fd := -1
		require.NoError(t, raw.Control(func(p uintptr) { fd = int(p) }))
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, room))
		require.NoError(t, unix.SetsockoptInt(o.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, room))
		o.OnBytes = func(p []byte) { o.bytes += len(p) }
		d.Receive(&o.Socket, true)
		f.all, f.peers = append(f.all, o), append(f.peers, fd)
	}
	return f
}

var zeros = make([]byte, 1<<20)

// fill gives every socket more bytes than one receive takes.
func (f *floods) fill() {
	for _, fd := range f.peers {
		for n := 1; n > 0; {
			n, _ = backend.Send(fd, zeros)
		}
	}
}

func (f *floods) release(t *testing.T, d *Driver) {
	for _, o := range f.all {
		d.Release(&o.Socket)
		until(t, d, func() bool { return o.Gone })
	}
}

// Once receiving is switched off at most MaxOvershoot bytes are reported.
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
						o.OnBytes = func(p []byte) {
							assert.LessOrEqual(t, len(p), pieceBytes)
							o.bytes += len(p)
							if o.bytes-first > round*4*size && !off {
								off = true
								first = o.bytes
								d.Receive(&o.Socket, false)
							}
						}
						until(t, d, func() bool { f.fill(); return off })
						polls(t, d, 3*time.Millisecond)
						assert.LessOrEqual(t, o.bytes-first, backend.MaxOvershoot, "bytes after receiving was switched off")
						assert.Zero(t, o.Socket.State&armed)
					}
					for _, o := range f.all {
						d.Receive(&o.Socket, true)
					}
				}
				f.release(t, d)
			})
		})
	}
}

// Beside sockets that always have more, a quiet one is served within three turns.
func TestBulkLeavesBuffersForTheQuiet(t *testing.T) {
	forEachRung(t, Config{Buffers: 16, BufferSize: 4 << 10}, func(t *testing.T, d *Driver) {
		f := newFloods(t, d, 40, 64<<10)
		quiet, peer := drivertest.TCPPair(t, d)
		d.Receive(&quiet.Socket, true)
		for range 50 {
			f.fill()
			turn(t, d)
		}
		before := d.count[backend.NoBuffers]
		for i := range 20 {
			quiet.Got = nil
			_, err := peer.Write([]byte("x"))
			require.NoError(t, err)
			turns := 0
			for ; len(quiet.Got) == 0 && turns < 100; turns++ {
				f.fill()
				turn(t, d)
			}
			assert.LessOrEqual(t, turns, 3, "turns until message %d came", i)
		}
		assert.LessOrEqual(t, d.count[backend.NoBuffers]-before, uint64(3), "times without a buffer")
		f.release(t, d)
		release(t, d, quiet)
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

// A socket with much to receive does not take all buffers again and again.
func TestSocketsTakeTurns(t *testing.T) {
	forEachRung(t, Config{Buffers: 1, BufferSize: 16}, func(t *testing.T, d *Driver) {
		greedy, peer := attach(t, d)
		var modest []*drivertest.Recorder
		for range 5 {
			o, peer := attach(t, d)
			modest = append(modest, o)
			drivertest.Send(t, peer, []byte("x"))
		}
		for range 2 * len(modest) {
			_, _ = backend.Send(peer, zeros[:1<<10])
			turn(t, d)
		}
		until(t, d, func() bool {
			_, _ = backend.Send(peer, zeros[:1<<10])
			return allGotBytes(modest)
		})
		release(t, d, append(modest, greedy)...)
	})
}

func allGotBytes(all []*drivertest.Recorder) bool {
	return !slices.ContainsFunc(all, func(o *drivertest.Recorder) bool { return len(o.Got) == 0 })
}

// Sockets that were served and have nothing to receive do not keep others waiting, though no completion of theirs ends
// a sleep.
func TestNoSleepWithSocketsInLine(t *testing.T) {
	forEachRung(t, Config{Buffers: 2, BufferSize: 16}, func(t *testing.T, d *Driver) {
		var all []*drivertest.Recorder
		peers := map[*backend.Socket]int{}
		for range 60 {
			o, peer := attach(t, d)
			all = append(all, o)
			peers[&o.Socket] = peer
		}
		for range 10 {
			for _, o := range all {
				o.Got = nil
				drivertest.Send(t, peers[&o.Socket], []byte("x"))
			}
			until(t, d, func() bool { return allGotBytes(all) })
			if d.quiet.len() == 0 {
				continue // as with receives that end with what they have received
			}
			last := d.quiet.list[len(d.quiet.list)-1]
			o := last.Owner.(*drivertest.Recorder)
			o.Got = nil
			drivertest.Send(t, peers[last], []byte("y"))
			for began := time.Now(); len(o.Got) == 0; {
				drivertest.Sleep(t, d)
				require.Less(t, time.Since(began), patience, "it slept with %d sockets in line and %d buffers free", d.quiet.len(), d.buffers.free)
			}
		}
		release(t, d, all...)
	})
}
