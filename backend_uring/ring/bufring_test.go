//go:build linux

package ring

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Munmap(memory) })
	b, err := NewBufRing(r, testGroup, uint32(n), 0)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, errors.Join(r.Close(), b.Close())) }) // the memory goes after the ring
	l := &lender{b, memory, size}
	for bid := range n {
		l.Add(uint16(bid), l.buffer(uint16(bid)))
	}
	l.Publish()
	return l
}

func (l *lender) buffer(bid uint16) []byte { return l.memory[int(bid)*l.size:][:l.size] }

// take returns the content of the completion's buffer, which it does not give back.
func (l *lender) take(t testing.TB, c CQE) (content string, bid uint16) {
	t.Helper()
	bid, ok := c.Buffer()
	require.True(t, ok && c.Res > 0 && int(c.Res) <= l.size, "no bytes in %+v", c)
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
			require.Equal(t, want, got)
			require.True(t, c.More())
			taken = append(taken, bid)
		}
		// The group is empty: the request ends, the bytes stay.
		write(t, b, "kept")
		requireLast(t, -int32(unix.ENOBUFS), completion(t, r), "from an empty group")
		for _, bid := range taken {
			l.giveBack(bid)
		}
		entry(t, r).PrepRecvMultishot(a, testGroup)
		got, _ := l.take(t, completion(t, r))
		require.Equal(t, "kept", got)
		require.NoError(t, unix.Shutdown(b, unix.SHUT_WR))
		requireLast(t, 0, completion(t, r), "at the end")
	})
}

// requireLast fails the test unless c is the last completion of its request and has that result.
func requireLast(t *testing.T, result int32, c CQE, when string) {
	t.Helper()
	require.Equal(t, result, c.Res, when)
	require.False(t, c.More(), when)
}

func TestRecvFromEmptyGroup(t *testing.T) {
	r := deferredRing(t)
	b, err := NewBufRing(r, testGroup, 4, 0)
	require.NoError(t, err)
	defer b.Close()
	a, _ := socketPair(t)
	entry(t, r).PrepRecvMultishot(a, testGroup)
	requireLast(t, -int32(unix.ENOBUFS), completion(t, r), "a new ring has no buffers")
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
		got, _ := l.take(t, q)
		assert.Equal(t, c.want, got)
		assert.False(t, q.More())
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
		write(t, b, string([]byte{want}))
		c := completion(t, r)
		got, bid := l.take(t, c)
		require.Equal(t, []byte{want}, []byte(got), "round %d", i)
		require.True(t, c.More(), "round %d", i)
		l.giveBack(bid)
	}
}

func TestLargestRing(t *testing.T) {
	r := deferredRing(t)
	b, err := NewBufRing(r, testGroup, maxBufRingEntries, 0)
	require.NoError(t, err)
	defer b.Close()
	p := make([]byte, 1)
	for range 2 {
		for bid := range b.Entries() {
			b.Add(uint16(bid), p)
		}
		b.Publish()
		for i := range b.entries {
			require.EqualValues(t, i, b.entries[i].BID)
		}
		require.Equal(t, b.tail, b.entries[0].Resv, "the tail that the kernel sees")
	}
}

func TestBufRingSizes(t *testing.T) {
	r := deferredRing(t)
	for entries, want := range map[uint32]int{1: 1, 2: 2, 3: 4, 100: 128, maxBufRingEntries: maxBufRingEntries} {
		b, err := NewBufRing(r, testGroup, entries, 0)
		require.NoError(t, err, "%d entries", entries)
		assert.Equal(t, want, b.Entries(), "%d entries", entries)
		assert.EqualValues(t, testGroup, b.Group())
		assert.NoError(t, b.Close())
	}
	for _, entries := range []uint32{0, maxBufRingEntries + 1} {
		_, err := NewBufRing(r, testGroup, entries, 0)
		assert.ErrorIs(t, err, unix.EINVAL, "%d entries", entries)
	}
	_, err := NewBufRing(r, testGroup, 4, -1)
	assert.ErrorIs(t, err, unix.EINVAL, "negative size")
}

func TestBufRingSizeLimitsBuffers(t *testing.T) {
	r := deferredRing(t)
	memory, err := unix.Mmap(-1, 0, 64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	require.NoError(t, err)
	defer func() { _ = unix.Munmap(memory) }()
	b, err := NewBufRing(r, testGroup, 1, 16)
	require.NoError(t, err)
	defer b.Close()
	b.Add(3, memory)
	b.Publish()
	x, y := socketPair(t)
	write(t, y, "0123456789abcdefghij")
	entry(t, r).PrepRecvSelect(x, testGroup, 0)
	assert.EqualValues(t, 16, completion(t, r).Res)
	assert.Equal(t, "0123456789abcdef\x00", string(memory[:17]))
}

func TestBufRingClose(t *testing.T) {
	r := deferredRing(t)
	first, err := NewBufRing(r, testGroup, 4, 0)
	require.NoError(t, err)
	_, err = NewBufRing(r, testGroup, 4, 0)
	assert.ErrorIs(t, err, unix.EEXIST, "a second ring for the group")
	for range 2 {
		require.NoError(t, first.Close())
	}
	second, err := NewBufRing(r, testGroup, 4, 0)
	require.NoError(t, err)
	assert.NoError(t, errors.Join(r.Close(), second.Close()))
}
