//go:build linux

package ring

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

const testGroup = 7

// lender is a buffer ring with its buffers, all of them lent.
type lender struct {
	*BufRing
	memory []byte
	size   int
}

func lend(t testing.TB, r *Ring, n, size int) *lender {
	t.Helper()
	memory, err := unix.Mmap(-1, 0, n*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(memory) })
	b, err := NewBufRing(r, testGroup, uint32(n), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), b.Close()); err != nil { // the memory goes after the ring
			t.Error(err)
		}
	})
	l := &lender{b, memory, size}
	for bid := range n {
		l.Add(uint16(bid), l.buffer(uint16(bid)))
	}
	l.Publish()
	return l
}

func (l *lender) buffer(bid uint16) []byte { return l.memory[int(bid)*l.size:][:l.size] }

// take is the content of the completion's buffer, which is not given back.
func (l *lender) take(t testing.TB, c CQE) (content string, bid uint16) {
	t.Helper()
	bid, ok := c.Buffer()
	if !ok || c.Res <= 0 || int(c.Res) > l.size {
		t.Fatalf("no bytes in %+v", c)
	}
	return string(l.buffer(bid)[:c.Res]), bid
}

func (l *lender) giveBack(bid uint16) {
	l.Add(bid, l.buffer(bid))
	l.Publish()
}

func TestRecvMultishot(t *testing.T) {
	forEachFlavour(t, 4, 16, func(t *testing.T, r *Ring) {
		l := lend(t, r, 4, 64)
		a, b := socketPair(t)
		entry(t, r).PrepRecvMultishot(a, testGroup)
		var taken []uint16
		for i := range 4 {
			want := fmt.Sprint("message ", i)
			write(t, b, want)
			c := completion(t, r)
			got, bid := l.take(t, c)
			if got != want || !c.More() {
				t.Fatalf("%+v with %q, want %q", c, got, want)
			}
			taken = append(taken, bid)
		}
		// The group is empty: the request ends, the bytes stay.
		write(t, b, "kept")
		if c := completion(t, r); c.Res != -int32(unix.ENOBUFS) || c.More() {
			t.Fatalf("from an empty group: %+v", c)
		}
		for _, bid := range taken {
			l.giveBack(bid)
		}
		entry(t, r).PrepRecvMultishot(a, testGroup)
		if got, _ := l.take(t, completion(t, r)); got != "kept" {
			t.Fatalf("received %q", got)
		}
		if err := unix.Shutdown(b, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		if c := completion(t, r); c.Res != 0 || c.More() {
			t.Errorf("at the end: %+v", c)
		}
	})
}

func TestRecvFromEmptyGroup(t *testing.T) {
	r := deferredRing(t)
	b, err := NewBufRing(r, testGroup, 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, _ := socketPair(t)
	entry(t, r).PrepRecvMultishot(a, testGroup)
	if c := completion(t, r); c.Res != -int32(unix.ENOBUFS) || c.More() {
		t.Errorf("a new ring has no buffers: %+v", c)
	}
}

func TestRecvSelect(t *testing.T) {
	r := deferredRing(t)
	l := lend(t, r, 2, 8)
	a, b := socketPair(t)
	write(t, b, "0123456789abcdef")
	for _, c := range []struct {
		n    uint32
		want string
	}{{3, "012"}, {0, "3456789a"}} {
		entry(t, r).PrepRecvSelect(a, testGroup, c.n)
		q := completion(t, r)
		if got, _ := l.take(t, q); got != c.want || q.More() {
			t.Errorf("%+v with %q, want %q", q, got, c.want)
		}
	}
}

// More buffers go round than the 16 bits of the tail can count.
func TestTailWrapsAround(t *testing.T) {
	r := deferredRing(t)
	l := lend(t, r, 4, 64)
	a, b := socketPair(t)
	entry(t, r).PrepRecvMultishot(a, testGroup)
	for i := range 1<<16 + 100 {
		want := byte(i)
		if _, err := unix.Write(b, []byte{want}); err != nil {
			t.Fatal(err)
		}
		c := completion(t, r)
		got, bid := l.take(t, c)
		if len(got) != 1 || got[0] != want || !c.More() {
			t.Fatalf("round %d: %+v with %q", i, c, got)
		}
		l.giveBack(bid)
	}
}

func TestLargestRing(t *testing.T) {
	r := deferredRing(t)
	b, err := NewBufRing(r, testGroup, maxBufRingEntries, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := make([]byte, 1)
	for range 2 {
		for bid := range b.Entries() {
			b.Add(uint16(bid), p)
		}
		b.Publish()
		for i := range b.entries {
			if int(b.entries[i].bid) != i {
				t.Fatalf("entry %d has bid %d", i, b.entries[i].bid)
			}
		}
		if got := b.entries[0].resv; got != b.tail {
			t.Fatalf("the kernel sees tail %d, want %d", got, b.tail)
		}
	}
}

func TestBufRingSizes(t *testing.T) {
	r := deferredRing(t)
	for entries, want := range map[uint32]int{1: 1, 2: 2, 3: 4, 100: 128, maxBufRingEntries: maxBufRingEntries} {
		b, err := NewBufRing(r, testGroup, entries, 0)
		if err != nil {
			t.Fatalf("%d entries: %v", entries, err)
		}
		if b.Entries() != want || b.Group() != testGroup {
			t.Errorf("%d entries became %d, group %d", entries, b.Entries(), b.Group())
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, entries := range []uint32{0, maxBufRingEntries + 1} {
		if _, err := NewBufRing(r, testGroup, entries, 0); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%d entries: %v", entries, err)
		}
	}
	if _, err := NewBufRing(r, testGroup, 4, -1); !errors.Is(err, unix.EINVAL) {
		t.Errorf("negative size: %v", err)
	}
}

func TestBufRingSizeLimitsBuffers(t *testing.T) {
	r := deferredRing(t)
	memory, err := unix.Mmap(-1, 0, 64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	b, err := NewBufRing(r, testGroup, 1, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.Add(3, memory)
	b.Publish()
	x, y := socketPair(t)
	write(t, y, "0123456789abcdefghij")
	entry(t, r).PrepRecvSelect(x, testGroup, 0)
	if c := completion(t, r); c.Res != 16 || string(memory[:17]) != "0123456789abcdef\x00" {
		t.Errorf("%+v with %q", c, memory)
	}
}

func TestBufRingClose(t *testing.T) {
	r := deferredRing(t)
	first, err := NewBufRing(r, testGroup, 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBufRing(r, testGroup, 4, 0); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a second ring for the group: %v", err)
	}
	for range 2 {
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	second, err := NewBufRing(r, testGroup, 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Close(), second.Close()); err != nil {
		t.Error(err)
	}
}
