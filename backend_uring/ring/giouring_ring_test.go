//go:build giouring && linux

package oracle

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	uring "github.com/tandem-io/tandem/backend_uring"
)

const (
	ringEntries   = 8
	bufferEntries = 8
	bufferSize    = 64
	bufferGroup   = 3
	patience      = 20 * time.Second
)

// refused ends a test that the kernel does not let run.
func refused(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("TANDEM_REQUIRE_URING") == "1" {
		t.Fatalf("TANDEM_REQUIRE_URING=1, but: %v", err)
	}
	t.Skipf("SKIPPED, NOTHING WAS TESTED: io_uring is refused here: %v", err)
}

func ourRing(t *testing.T) *uring.Ring {
	t.Helper()
	r, err := uring.NewRing(ringEntries, 0, 0)
	if err != nil {
		refused(t, err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func theirRing(t *testing.T) *giouring.Ring {
	t.Helper()
	r, err := giouring.CreateRing(ringEntries)
	if err != nil {
		refused(t, err)
	}
	t.Cleanup(r.QueueExit)
	return r
}

// ourTurn submits the bytes as an entry of our ring and returns the completion.
func ourTurn(t *testing.T, r *uring.Ring, b entryBytes) uring.CQE {
	t.Helper()
	setOurs(r.SQE(), b)
	for deadline := time.Now().Add(patience); r.Peek() == nil; {
		if time.Now().After(deadline) {
			t.Fatalf("no completion after %v", patience)
		}
		if err := r.Wait(time.Until(deadline)); err != nil {
			t.Fatal(err)
		}
	}
	c := *r.Peek()
	r.Advance()
	return c
}

// theirTurn does with giouring what ourTurn does with ours.
func theirTurn(t *testing.T, r *giouring.Ring, b entryBytes) uring.CQE {
	t.Helper()
	setTheirs(r.GetSQE(), b)
	_, err := r.SubmitAndWait(1)
	for errors.Is(err, unix.EINTR) { // it is returned to the caller as it is
		_, err = r.SubmitAndWait(1)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.PeekCQE()
	if err != nil {
		t.Fatal(err)
	}
	got := uring.CQE{UserData: c.UserData, Res: c.Res, Flags: c.Flags}
	r.CQESeen(c)
	return got
}

func TestRingsHaveTheSameFeatures(t *testing.T) {
	ours, theirs := ourRing(t), theirRing(t)
	// giouring keeps them for itself, and reflect may look.
	if want := reflect.ValueOf(theirs).Elem().FieldByName("features").Uint(); uint64(ours.Features()) != want {
		t.Errorf("features are %#x, giouring has %#x", ours.Features(), want)
	}
}

func TestNopCompletesTheSame(t *testing.T) {
	ours, theirs := ourRing(t), theirRing(t)
	var s uring.SQE
	s.PrepNop()
	s.UserData = 0x0102030405060708
	b := bytesOfOurs(&s)
	want := theirTurn(t, theirs, b)
	if got := ourTurn(t, ours, b); got != want {
		t.Errorf("completion is %+v, giouring has %+v", got, want)
	}
	if (want != uring.CQE{UserData: s.UserData}) {
		t.Errorf("the completion of a NOP is %+v", want)
	}
}

// buffers are mapped memory for a buffer ring to lend.
func buffers(t *testing.T) [][]byte {
	t.Helper()
	memory, err := unix.Mmap(-1, 0, bufferEntries*bufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	return slices.Collect(slices.Chunk(memory, bufferSize))
}

func ourBuffers(t *testing.T, r *uring.Ring) *uring.BufRing {
	t.Helper()
	b, err := uring.NewBufRing(r, bufferGroup, bufferEntries, 0)
	if err != nil {
		refused(t, err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// theirBuffers uses giouring's own mapping, which it never frees.
func theirBuffers(t *testing.T, r *giouring.Ring) *giouring.BufAndRing {
	t.Helper()
	b, err := r.SetupBufRing(bufferEntries, bufferGroup, 0)
	if err != nil {
		refused(t, err)
	}
	t.Cleanup(func() {
		if err := r.FreeBufRing(bufferGroup); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestBufferRingsHoldTheSame adds the same buffers to both, past the end of the ring. No receive reads them.
func TestBufferRingsHoldTheSame(t *testing.T) {
	ours, theirs := ourBuffers(t, ourRing(t)), theirBuffers(t, theirRing(t))
	lent := buffers(t)
	mask := giouring.BufRingMask(bufferEntries)
	memory := bufferRing(reflect.ValueOf(ours).Elem().FieldByName("entries").UnsafePointer(), bufferEntries)
	want := bufferRing(unsafe.Pointer(theirs), bufferEntries)
	bid := uint16(0x0102)
	for batch := range 4 {
		for i := range 3 {
			p := lent[(3*batch+i)%len(lent)][:10+i]
			ours.Add(bid, p)
			theirs.BufRingAdd(addressOf(&p[0]), uint32(len(p)), bid, mask, i)
			bid += 0x0101
		}
		ours.Publish()
		theirs.BufRingAdvance(3)
		if !slices.Equal(memory, want) {
			t.Fatalf("after %d batches:\n    ours %+v\ngiouring %+v", batch+1, memory, want)
		}
	}
}

// TestReceiveCompletesTheSame receives with one and the same entry on both rings, each into a buffer of its own group.
func TestReceiveCompletesTheSame(t *testing.T) {
	ours, theirs := ourRing(t), theirRing(t)
	ourGroup, theirGroup := ourBuffers(t, ours), theirBuffers(t, theirs)
	ourMemory, theirMemory := buffers(t)[0], buffers(t)[0]
	const bid = 0x0203
	ourGroup.Add(bid, ourMemory)
	ourGroup.Publish()
	theirGroup.BufRingAdd(addressOf(&theirMemory[0]), bufferSize, bid, giouring.BufRingMask(bufferEntries), 0)
	theirGroup.BufRingAdvance(1)

	socket, peer := socketPair(t)
	var s uring.SQE
	s.PrepRecvSelect(socket, bufferGroup, 0)
	s.UserData = 0x0102030405060708
	b := bytesOfOurs(&s)

	send(t, peer, "hello")
	want := theirTurn(t, theirs, b)
	send(t, peer, "hello")
	got := ourTurn(t, ours, b)
	if got != want {
		t.Errorf("completion is %+v, giouring has %+v", got, want)
	}
	if id, ok := got.Buffer(); got.Res != 5 || got.UserData != s.UserData || !ok || id != bid {
		t.Errorf("the completion of 5 bytes is %+v", got)
	}
	if string(ourMemory[:5]) != "hello" || string(theirMemory[:5]) != "hello" {
		t.Errorf("received %q, giouring %q", ourMemory[:5], theirMemory[:5])
	}
}

func socketPair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	})
	return fds[0], fds[1]
}

func send(t *testing.T, fd int, s string) {
	t.Helper()
	if n, err := unix.Write(fd, []byte(s)); n != len(s) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
}
