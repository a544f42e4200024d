//go:build linux

package uring

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// What the conformance suite cannot see: how the driver accounts for buffers, slots and requests.

// recorder is the owner of a socket.
type recorder struct {
	backend.NoEvents
	sock     backend.Socket
	received func([]byte) // nil: keep them in got
	got      []byte
	ended    error
	accepted []int
	broken   int
	released bool
	sated    bool // it has had its share of the turn
}

// HasTurnBudget implements backend.Events.
func (o *recorder) HasTurnBudget() bool { return !o.sated }

func (o *recorder) Received(p []byte) {
	if o.received != nil {
		o.received(p)
		return
	}
	o.got = append(o.got, p...)
}

func (o *recorder) ReceiveEnded(err error) { o.ended = err }
func (o *recorder) Accepted(d backend.Descriptor, _ backend.Address, _ error) {
	o.accepted = append(o.accepted, d.FD())
}
func (o *recorder) HungUp()   { o.broken++ }
func (o *recorder) Released() { o.released = true }

// forEachRung runs the test with a driver on every rung. It is closed at the end, when nothing may be outstanding.
func forEachRung(t *testing.T, c Config, test func(*testing.T, *Driver)) {
	for _, name := range rungNames() {
		t.Run(name, func(t *testing.T) {
			c.Rung = name
			d, err := New(c.withDefaults())
			if err != nil {
				refused(t, err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}()
			if err := d.Start(new(backend.Counters)); err != nil {
				t.Fatal(err)
			}
			test(t, d)
		})
	}
}

// attach makes a socketpair, one end of which receives. It lives as long as the test.
func attach(t *testing.T, d *Driver) (o *recorder, peer int) {
	t.Helper()
	o, peer = pair(t, d)
	fd := o.sock.FD()
	t.Cleanup(func() { backend.CloseFD(fd); backend.CloseFD(peer) })
	turn(t, d)
	return o, peer
}

func pair(t *testing.T, d *Driver) (o *recorder, peer int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	o = &recorder{}
	o.sock = backend.Socket{Descriptor: backend.NewDescriptor(pair[0]), Owner: o}
	if err := d.Attach(&o.sock); err != nil {
		t.Fatal(err)
	}
	d.Receive(&o.sock, true)
	return o, pair[1]
}

func send(t *testing.T, fd int, p []byte) {
	t.Helper()
	if n, err := backend.Send(fd, p); n != len(p) || err != nil {
		t.Fatalf("sent %d bytes: %v", n, err)
	}
}

func turn(t *testing.T, d *Driver) {
	t.Helper()
	if _, err := d.Poll(0); err != nil {
		t.Fatal(err)
	}
	checkCounts(t, d)
}

// until polls until done.
func until(t *testing.T, d *Driver, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it never comes")
		}
		if _, err := d.Poll(time.Millisecond); err != nil {
			t.Fatal(err)
		}
		checkCounts(t, d)
	}
}

func release(t *testing.T, d *Driver, all ...*recorder) {
	t.Helper()
	for _, o := range all {
		d.Release(&o.sock)
	}
	for _, o := range all {
		until(t, d, func() bool { return o.released })
	}
	if out := d.Outstanding(); out != (backend.Outstanding{}) {
		t.Errorf("after the last release: %+v", out)
	}
}

// TestBuffersGrowAndShrink takes all buffers away, so that there have to be more, and gives them back.
// A slab that was to leave stays when the buffers run out before it has left.
func TestRetiringSlabComesBack(t *testing.T) {
	const n, size = 2, 64
	forEachRung(t, Config{Buffers: n, BufferSize: size}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		kept := map[*byte]func(){}
		o.received = func(p []byte) {
			o.got = append(o.got, p...)
			if k := d.Keep(); k != nil {
				kept[&p[0]] = k
			}
		}
		want := bytes.Repeat([]byte("0123456789abcdef"), 2*n*size/16)
		send(t, peer, want)
		until(t, d, func() bool { return len(o.got) == len(want) })
		if len(d.buffers.slabs) != 2 || len(kept) != 2*n {
			t.Fatalf("%d slabs, %d buffers kept", len(d.buffers.slabs), len(kept))
		}
		d.buffers.live = 1
		back := &d.buffers.memory(n)[0] // of the slab that retires
		kept[back]()
		delete(kept, back)
		d.buffers.collect()
		if d.buffers.free != 0 {
			t.Fatalf("the kernel has %d buffers, though the slab retires", d.buffers.free)
		}
		more := []byte("more")
		send(t, peer, more)
		until(t, d, func() bool { return bytes.Equal(o.got, append(want, more...)) })
		if d.buffers.live != 2 || len(d.buffers.slabs) != 2 {
			t.Errorf("%d of %d slabs are live", d.buffers.live, len(d.buffers.slabs))
		}
		for _, k := range kept {
			k()
		}
		d.buffers.collect()
		release(t, d, o)
	})
}

// What a stream has put off, because it had its share of the turn, comes before the end of its release.
func TestReleaseBehindWhatWasPutOff(t *testing.T) {
	forEachRung(t, Config{Buffers: 8, BufferSize: 64}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		o.sated = true
		want := []byte("put off, and not lost")
		send(t, peer, want)
		until(t, d, func() bool { return !d.later.empty() })
		if len(o.got) > 0 {
			t.Fatalf("%q was not put off", o.got)
		}
		release(t, d, o)
		if !bytes.Equal(o.got, want) {
			t.Errorf("%q had come when the socket was released", o.got)
		}
	})
}

// A callback that fills the submission queue makes completions wait outside their queue. They stay in order.
func TestStashKeepsTheOrder(t *testing.T) {
	forEachRung(t, Config{Buffers: 64, BufferSize: 64}, func(t *testing.T, d *Driver) {
		first, peer := attach(t, d)
		second, other := attach(t, d)
		want, sent, stashed := make([]byte, 1600), 0, 0
		for i := range want {
			want[i] = byte(i/64 + i)
		}
		piece := func() {
			if sent < len(want) {
				send(t, peer, want[sent:sent+160])
				send(t, other, want[sent:sent+160])
				sent += 160
			}
		}
		for _, o := range []*recorder{first, second} {
			o.received = func(p []byte) {
				o.got = append(o.got, p...)
				piece() // comes while room is being made
				d.spill()
				stashed = max(stashed, len(d.later.fresh))
			}
		}
		piece()
		piece()
		until(t, d, func() bool { return len(first.got) == len(want) && len(second.got) == len(want) })
		if !bytes.Equal(first.got, want) || !bytes.Equal(second.got, want) {
			t.Error("the bytes differ")
		}
		if stashed == 0 {
			t.Error("nothing had to wait, so nothing was tested")
		}
		d.Release(&first.sock)
		until(t, d, func() bool { return first.released })
		release(t, d, second)
	})
}

func TestBuffersGrowAndShrink(t *testing.T) {
	const n, size = 2, 64
	forEachRung(t, Config{Buffers: n, BufferSize: size}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		var kept []func()
		var memory [][]byte
		o.received = func(p []byte) {
			o.got = append(o.got, p...)
			if k := d.Keep(); k != nil {
				kept, memory = append(kept, k), append(memory, p)
			}
		}
		want := bytes.Repeat([]byte("0123456789abcdef"), 2*n*growth*size/16)
		send(t, peer, want)
		until(t, d, func() bool { return len(o.got) == len(want) })
		if !bytes.Equal(o.got, want) {
			t.Error("the bytes differ")
		}
		if len(d.buffers.slabs) < 2 {
			t.Errorf("%d slabs", len(d.buffers.slabs))
		}
		if len(d.buffers.slabs) > growth {
			t.Errorf("%d slabs; there may be %d", len(d.buffers.slabs), growth)
		}
		at := 0
		for _, p := range memory {
			i := bytes.Index(want[at:], p)
			if i < 0 {
				t.Fatal("memory that was kept has changed")
			}
			at += i
		}
		for _, k := range kept {
			k()
		}
		o.received = nil
		d.buffers.quietTime = time.Millisecond
		until(t, d, func() bool { return len(d.buffers.slabs) == 1 && d.flush.out == 0 })
		if len(d.buffers.slabs) != 1 || d.buffers.free != n {
			t.Errorf("%d slabs and %d buffers after a long quiet time", len(d.buffers.slabs), d.buffers.free)
		}
		o.got = nil
		send(t, peer, want[:300])
		until(t, d, func() bool { return bytes.Equal(o.got, want[:300]) })
		release(t, d, o)
	})
}

// TestKeepRefuses: at most half of all buffers that there can be are away.
func TestKeepRefuses(t *testing.T) {
	const n, size = 4, 32
	forEachRung(t, Config{Buffers: n, BufferSize: size}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		var kept []func()
		refusals := 0
		o.received = func(p []byte) {
			o.got = append(o.got, p...)
			if k := d.Keep(); k != nil {
				kept = append(kept, k)
			} else {
				refusals++
			}
		}
		receive := func() {
			t.Helper()
			o.got = nil
			send(t, peer, make([]byte, 2*n*growth*size))
			until(t, d, func() bool { return len(o.got) == 2*n*growth*size })
		}
		receive()
		if len(kept) != n*growth/2 || refusals == 0 {
			t.Errorf("%d buffers were kept and %d refused, of %d", len(kept), refusals, n*growth)
		}
		if out := d.Outstanding().Buffers; out != len(kept) {
			t.Errorf("%d buffers are out, not %d", out, len(kept))
		}
		for _, k := range kept[:3] {
			k()
		}
		kept = kept[3:]
		receive()
		if len(kept) != n*growth/2 {
			t.Errorf("%d buffers are kept, after some were given back", len(kept))
		}
		for _, k := range kept {
			k()
		}
		release(t, d, o)
	})
}

// TestStaleCompletion has completions for a socket that has left the table: they find nobody, and give back what they
// brought.
func TestStaleCompletion(t *testing.T) {
	forEachRung(t, Config{Buffers: 4, BufferSize: 64}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		free := d.buffers.free
		send(t, peer, []byte("for nobody"))
		fill(t, d)
		d.Remove(&o.sock)
		next, nextPeer := attach(t, d) // has the slot now
		if next.sock.ID.Slot() != o.sock.ID.Slot() {
			t.Fatalf("slots %d and %d", o.sock.ID.Slot(), next.sock.ID.Slot())
		}
		turn(t, d)
		if len(o.got)+len(next.got) != 0 {
			t.Errorf("%q was received by the one that has left, %q by the next", o.got, next.got)
		}
		if d.buffers.free != free {
			t.Errorf("%d buffers are free, not %d", d.buffers.free, free)
		}
		send(t, nextPeer, []byte("for the next"))
		until(t, d, func() bool { return string(next.got) == "for the next" })
		_ = unix.Shutdown(o.sock.FD(), unix.SHUT_RDWR) // ends the request of the one that has left
		left := 0
		if o.sock.State&watched != 0 {
			left = 1 // which nobody can end any longer, but the driver
		}
		until(t, d, func() bool {
			return next.sock.State&armed != 0 && d.requests-d.waker.requests == int(next.sock.InFlight)+left
		})
		if next.ended != nil {
			t.Errorf("the next ended with %v", next.ended)
		}
		d.Release(&next.sock)
		until(t, d, func() bool { return next.released && d.Outstanding().Requests == left })
	})
}

// fill lets the kernel complete what it can, without a look at the completions.
func fill(t *testing.T, d *Driver) {
	t.Helper()
	for deadline := time.Now().Add(patience); d.ring.Ready() == 0; {
		if err := d.ring.Enter(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("no completion")
		}
	}
}

// TestStaleAccept has a connection that is accepted for a listener that has left: it is closed.
func TestStaleAccept(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 5)); err != nil {
			t.Fatal(err)
		}
		o := &recorder{}
		o.sock = backend.Socket{Descriptor: backend.NewDescriptor(fd), Owner: o}
		if err := d.Attach(&o.sock); err != nil {
			t.Fatal(err)
		}
		d.Accept(&o.sock, true)
		turn(t, d)
		a, b := connected(t, fd), -1
		defer unix.Close(a)
		until(t, d, func() bool { return len(o.accepted) == 1 })
		defer unix.Close(o.accepted[0])
		b = connected(t, fd)
		defer unix.Close(b)
		fill(t, d)
		d.Remove(&o.sock)
		turn(t, d)
		if len(o.accepted) != 1 {
			t.Error("a listener that has left got a connection")
		}
		if err := unix.SetsockoptTimeval(b, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(b, make([]byte, 1)); n != 0 || err != nil { // which waits
			t.Errorf("the connection was not closed: %d bytes, %v", n, err)
		}
	})
}

// connected connects a blocking socket to a listener.
func connected(t *testing.T, listener int) int {
	t.Helper()
	to, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestStarvedSocketsTakeTurns: a socket with much to receive does not take all buffers again and again.
func TestStarvedSocketsTakeTurns(t *testing.T) {
	forEachRung(t, Config{Buffers: 1, BufferSize: 16}, func(t *testing.T, d *Driver) {
		greedy, flood := attach(t, d)
		var modest []*recorder
		for range 5 {
			o, peer := attach(t, d)
			modest = append(modest, o)
			send(t, peer, []byte("x"))
		}
		for range 2 * len(modest) {
			_, _ = backend.Send(flood, make([]byte, 1<<10))
			turn(t, d)
		}
		until(t, d, func() bool {
			_, _ = backend.Send(flood, make([]byte, 1<<10))
			return !slices.ContainsFunc(modest, func(o *recorder) bool { return len(o.got) == 0 })
		})
		release(t, d, append(modest, greedy)...)
	})
}

// TestNoSleepWithTheStarved: sockets that are fed and have nothing to receive do not keep others waiting, though no
// completion of theirs ends the sleep.
func TestNoSleepWithTheStarved(t *testing.T) {
	forEachRung(t, Config{Buffers: 2, BufferSize: 16}, func(t *testing.T, d *Driver) {
		var all []*recorder
		peers := map[*backend.Socket]int{}
		for range 60 {
			o, peer := attach(t, d)
			all = append(all, o)
			peers[&o.sock] = peer
		}
		for range 10 {
			for _, o := range all {
				o.got = nil
				send(t, peers[&o.sock], []byte("x"))
			}
			until(t, d, func() bool {
				return !slices.ContainsFunc(all, func(o *recorder) bool { return len(o.got) == 0 })
			})
			if d.quiet.len() == 0 {
				continue // as with receives that end with what they have received
			}
			last := d.quiet.list[len(d.quiet.list)-1]
			o := last.Owner.(*recorder)
			o.got = nil
			send(t, peers[last], []byte("y"))
			for began := time.Now(); len(o.got) == 0; {
				if _, err := d.Poll(patience); err != nil || time.Since(began) >= patience {
					t.Fatalf("it slept with %d sockets in line and %d buffers free: %v", d.quiet.len(), d.buffers.free, err)
				}
			}
		}
		release(t, d, all...)
	})
}

// TestHangUpWhileTheReceiveIsBeingSwitched: a hang-up that comes while a receive is wanted, which is taken back before it
// was asked for, is reported all the same.
func TestHangUpWhileTheReceiveIsBeingSwitched(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		d.Receive(&o.sock, false)
		until(t, d, func() bool { return o.sock.State&(watched|armed) == watched })
		turn(t, d)                  // nothing is left to be told to the kernel
		o.sock.State |= wantReceive // as Receive(true) does; the kernel is not told yet
		if err := unix.Shutdown(peer, unix.SHUT_RDWR); err != nil {
			t.Fatal(err)
		}
		if err := unix.Shutdown(o.sock.FD(), unix.SHUT_RDWR); err != nil {
			t.Fatal(err)
		}
		until(t, d, func() bool { return o.sock.State&hung != 0 })
		if o.broken != 0 {
			t.Error("HungUp while a receive is wanted")
		}
		d.Receive(&o.sock, false)
		until(t, d, func() bool { return o.broken > 0 })
		release(t, d, o)
	})
}

// TestEndBehindBytes: the end of a stream is seen, also if it comes with bytes before it while the loop is away. A
// multishot receive may overlook it.
func TestEndBehindBytes(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		for n := 1; n < 1<<17; n *= 3 {
			o, peer := attach(t, d)
			send(t, peer, make([]byte, n))
			_ = unix.Shutdown(peer, unix.SHUT_RDWR)
			for began := time.Now(); o.ended == nil; {
				if _, err := d.Poll(patience); err != nil || time.Since(began) >= patience {
					t.Fatalf("%d of %d bytes were received, and no end: %v", len(o.got), n, err)
				}
			}
			if len(o.got) != n || o.ended != io.EOF {
				t.Errorf("%d of %d bytes were received, and %v", len(o.got), n, o.ended)
			}
			release(t, d, o)
		}
	})
}

// TestCloseWithBufferOut: memory that was kept outlives the driver, and is freed by its owner.
func TestCloseWithBufferOut(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		var kept func()
		var memory []byte
		o.received = func(p []byte) { kept, memory = d.Keep(), p }
		send(t, peer, []byte("still here"))
		until(t, d, func() bool { return kept != nil })
		if err := d.Close(); err != nil { // with a request in flight
			t.Fatal(err)
		}
		if string(memory) != "still here" {
			t.Errorf("the memory has %q", memory)
		}
		if len(d.buffers.slabs) == 0 {
			t.Error("the memory is unmapped")
		}
		kept()
		if len(d.buffers.slabs) != 0 {
			t.Error("the memory stays mapped")
		}
		d.Wake() // does nothing
	})
}

// TestWish: a wish that is taken back before the next Poll costs nothing.
func TestWish(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		before := d.count[backend.Submissions]
		for range 10 {
			d.Receive(&o.sock, false)
			d.Receive(&o.sock, true)
		}
		turn(t, d)
		if n := d.count[backend.Submissions] - before; n != 0 {
			t.Errorf("%d submissions for a pause that was taken back", n)
		}
		d.Receive(&o.sock, false)
		until(t, d, func() bool { return o.sock.State&armed == 0 })
		send(t, peer, []byte("waits"))
		for range 5 {
			turn(t, d)
		}
		if len(o.got) != 0 {
			t.Errorf("%q was received while receiving was off", o.got)
		}
		d.Receive(&o.sock, true)
		until(t, d, func() bool { return string(o.got) == "waits" })
		release(t, d, o)
	})
}
