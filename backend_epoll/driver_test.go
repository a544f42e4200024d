//go:build linux

package epoll

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// What the conformance suite cannot see: events of one look that come too late, what the kernel is told, and who has
// the hot buffer.

// recorder is the owner of a socket.
type recorder struct {
	backend.NoEvents
	sock      backend.Socket
	received  func([]byte) // nil: keep them in got
	got       []byte
	ended     error
	connected error
	accepted  error
	fd        int // accepted
	from      backend.Address
	sent      int
	broken    int
	released  bool
}

func (o *recorder) Received(p []byte) {
	if o.received != nil {
		o.received(p)
		return
	}
	o.got = append(o.got, p...)
}

func (o *recorder) ReceiveEnded(err error) { o.ended = err }
func (o *recorder) Sent(int, error)        { o.sent++ }
func (o *recorder) Connected(err error)    { o.connected = err }
func (o *recorder) Broken()                { o.broken++ }
func (o *recorder) Released()              { o.released = true }

func (o *recorder) Accepted(d backend.Descriptor, from backend.Address, err error) {
	o.fd, o.from, o.accepted = d.FD(), from, err
}

// forEachSleep runs the test with a driver of each kind.
func forEachSleep(t *testing.T, test func(*testing.T, *Driver)) {
	for name, c := range map[string]Config{"parked": {}, "thread": {Thread: true}} {
		t.Run(name, func(t *testing.T) {
			d, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				d.Wake() // does nothing
			}()
			if err := d.Start(new(backend.Counters)); err != nil {
				t.Fatal(err)
			}
			test(t, d)
		})
	}
}

func pair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.CloseFD(fds[0]); backend.CloseFD(fds[1]) })
	return fds[0], fds[1]
}

// attach makes a descriptor known, and wants nothing.
func attach(t *testing.T, d *Driver, fd int) *recorder {
	t.Helper()
	o := &recorder{fd: -1}
	o.sock = backend.Socket{Descriptor: backend.NewDescriptor(fd), Owner: o}
	if err := d.Attach(&o.sock); err != nil {
		t.Fatal(err)
	}
	return o
}

// receiver is one end of a pair that receives.
func receiver(t *testing.T, d *Driver) (o *recorder, peer int) {
	t.Helper()
	a, b := pair(t)
	o = attach(t, d, a)
	d.Receive(&o.sock, true)
	turn(t, d)
	return o, b
}

func send(t *testing.T, fd int, p string) {
	t.Helper()
	if n, err := backend.Send(fd, []byte(p)); n != len(p) || err != nil {
		t.Fatalf("sent %d bytes: %v", n, err)
	}
}

func turn(t *testing.T, d *Driver) (events int) {
	t.Helper()
	n, err := d.Poll(0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEventOfTheReleased has two sockets ready in one look. The first to be called releases the other, whose slot, or
// even descriptor number, has a new holder at once.
func TestEventOfTheReleased(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		a, peerA := receiver(t, d)
		b, peerB := receiver(t, d)
		c, peerC := pair(t)
		var next *recorder
		takeOver := func(other *recorder) func([]byte) {
			return func([]byte) {
				slot := other.sock.ID.Slot()
				d.Release(&other.sock)
				if err := unix.Dup3(c, other.sock.FD(), unix.O_CLOEXEC); err != nil { // closes it, and gives its number to c
					t.Fatal(err)
				}
				next = attach(t, d, other.sock.FD())
				if next.sock.ID.Slot() != slot {
					t.Fatalf("the next has slot %d, not %d", next.sock.ID.Slot(), slot)
				}
				d.Receive(&next.sock, true)
			}
		}
		a.received, b.received = takeOver(b), takeOver(a)
		send(t, peerC, "of the next")
		send(t, peerA, "a")
		send(t, peerB, "b")
		if n := turn(t, d); n != 2 {
			t.Fatalf("%d events in one look", n)
		}
		if next == nil || len(next.got) != 0 {
			t.Fatalf("the next was called for an event of the one before: %+v", next)
		}
		if turn(t, d); string(next.got) != "of the next" {
			t.Errorf("the next got %q", next.got)
		}
		if a.released == b.released {
			t.Errorf("released: %t and %t", a.released, b.released)
		}
	})
}

// TestDuplicatedDescriptor: to close a descriptor does not end the kernel's interest in an open file that another one
// shares. Release does.
func TestDuplicatedDescriptor(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		o, peer := receiver(t, d)
		shared, err := backend.Duplicate(o.sock.FD())
		if err != nil {
			t.Fatal(err)
		}
		defer backend.CloseFD(shared)
		d.Release(&o.sock)
		backend.CloseFD(o.sock.FD())
		o.sock.Descriptor = backend.Descriptor{}
		send(t, peer, "for nobody")
		for range 3 {
			if n := turn(t, d); n > 1 || n == 1 && !o.released {
				t.Errorf("%d events of a socket that was released", n)
			}
		}
		if out := d.Outstanding(); out != (backend.Outstanding{}) || !o.released {
			t.Errorf("outstanding: %+v", out)
		}
	})
}

// TestNotPollable attaches what epoll refuses: whoever waits for it is told.
func TestNotPollable(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fd := int(f.Fd())
		r, c, l := attach(t, d, fd), attach(t, d, fd), attach(t, d, fd)
		d.Receive(&r.sock, true)
		d.Connect(&c.sock)
		d.Accept(&l.sock, true)
		turn(t, d)
		for what, err := range map[string]error{"Receive": r.ended, "Connect": c.connected, "Accept": l.accepted} {
			if !errors.Is(err, syscall.EPERM) {
				t.Errorf("%s of a regular file: %v", what, err)
			}
		}
	})
}

// TestWish: a wish that is taken back before the next Poll costs no system call.
func TestWish(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		o, peer := receiver(t, d)
		before := d.count[backend.SystemCalls]
		for range 10 {
			d.Receive(&o.sock, false)
			d.Receive(&o.sock, true)
		}
		turn(t, d)
		if n := d.count[backend.SystemCalls] - before; n != 1 {
			t.Errorf("%d system calls for a look", n)
		}
		d.Receive(&o.sock, false)
		send(t, peer, "waits")
		turn(t, d)
		if len(o.got) != 0 {
			t.Errorf("%q was received while receiving was off", o.got)
		}
		d.Receive(&o.sock, true)
		if turn(t, d); string(o.got) != "waits" {
			t.Errorf("%q was received", o.got)
		}
	})
}

// TestBrokenOnce: a hang-up that lasts is reported once to a socket that does not receive, and later to one that does.
func TestBrokenOnce(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		o, peer := receiver(t, d)
		d.Receive(&o.sock, false)
		turn(t, d)
		_ = unix.Shutdown(peer, unix.SHUT_RDWR)
		for range 5 {
			turn(t, d)
		}
		if o.broken != 1 || o.ended != nil {
			t.Errorf("Broken was called %d times, and the receive ended with %v", o.broken, o.ended)
		}
		d.Receive(&o.sock, true)
		if turn(t, d); o.ended != io.EOF {
			t.Errorf("the receive ended with %v", o.ended)
		}
	})
}

// TestKeep: the hot buffer is given away when much of it is used, and its memory is used again when it came back.
func TestKeep(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		o, peer := receiver(t, d)
		var kept func()
		var memory []byte
		o.received = func(p []byte) { kept, memory = d.Keep(), p }
		send(t, peer, "little")
		if turn(t, d); kept != nil || d.Outstanding().Buffers != 0 {
			t.Error("the whole buffer was given away for a few bytes")
		}
		want := bytes.Repeat([]byte("kept"), bufferSize/4/4)
		send(t, peer, string(want))
		turn(t, d)
		if kept == nil || len(memory) != len(want) || d.Outstanding().Buffers != 1 {
			t.Fatalf("Keep of %d bytes; %d buffers are out", len(memory), d.Outstanding().Buffers)
		}
		first, give := memory, kept
		send(t, peer, string(bytes.Repeat([]byte("next"), bufferSize/4/4)))
		turn(t, d)
		if !bytes.Equal(first, want) {
			t.Error("memory that was kept has changed")
		}
		give()
		kept()
		if n := d.Outstanding().Buffers; n != 0 {
			t.Errorf("%d buffers are out", n)
		}
	})
}

// TestSleep: Poll sleeps as long as it may, and ends with an event or a Wake, also with one that came before.
func TestSleep(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		o, peer := receiver(t, d)
		began := time.Now()
		n, err := d.Poll(3 * time.Millisecond)
		if err != nil || n != 0 || time.Since(began) < 3*time.Millisecond {
			t.Errorf("%d events after %v: %v", n, time.Since(began), err)
		}
		d.Wake()
		if _, err := d.Poll(-1); err != nil {
			t.Error(err)
		}
		go func() { time.Sleep(time.Millisecond); d.Wake() }()
		if _, err := d.Poll(-1); err != nil {
			t.Error(err)
		}
		go func() { _, _ = backend.Send(peer, []byte("event")) }()
		for string(o.got) != "event" {
			if _, err := d.Poll(-1); err != nil {
				t.Fatal(err)
			}
		}
	})
}
