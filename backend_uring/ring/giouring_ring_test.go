//go:build giouring && linux

package ring

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/pawelgaczynski/giouring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	comparedEntries = 8
	comparedBuffers = 8
	comparedSize    = 64
)

func ourRing(t *testing.T) *Ring { return openRing(t, comparedEntries, 0, 0) }

func theirRing(t *testing.T) *giouring.Ring {
	t.Helper()
	r, err := giouring.CreateRing(comparedEntries)
	if err != nil {
		refused(t, err)
	}
	t.Cleanup(r.QueueExit)
	return r
}

// ourTurn submits the bytes as an entry of our ring and returns the completion.
func ourTurn(t *testing.T, r *Ring, b entryBytes) CQE {
	t.Helper()
	setOurs(entry(t, r), b)
	return completion(t, r)
}

// theirTurn does with giouring what ourTurn does with ours.
func theirTurn(t *testing.T, r *giouring.Ring, b entryBytes) CQE {
	t.Helper()
	setTheirs(r.GetSQE(), b)
	_, err := r.SubmitAndWait(1)
	for errors.Is(err, unix.EINTR) { // which giouring leaves to its caller
		_, err = r.SubmitAndWait(1)
	}
	require.NoError(t, err)
	c, err := r.PeekCQE()
	require.NoError(t, err)
	got := CQE{UserData: c.UserData, Res: c.Res, Flags: c.Flags}
	r.CQESeen(c)
	return got
}

func TestFeaturesOfGiouring(t *testing.T) {
	ours, theirs := ourRing(t), theirRing(t)
	// giouring does not export them.
	assert.EqualValues(t, reflect.ValueOf(theirs).Elem().FieldByName("features").Uint(), ours.Features())
}

func TestNopCompletesAsOnGiouring(t *testing.T) {
	ours, theirs := ourRing(t), theirRing(t)
	var s SQE
	s.PrepNop()
	s.UserData = 0x0102030405060708
	b := bytesOfOurs(&s)
	want := theirTurn(t, theirs, b)
	assert.Equal(t, want, ourTurn(t, ours, b))
	assert.Equal(t, CQE{UserData: s.UserData}, want)
}

// mapBuffers returns mapped memory for a buffer ring to lend.
func mapBuffers(t *testing.T) [][]byte {
	t.Helper()
	const size = comparedBuffers * comparedSize
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, unix.Munmap(memory)) })
	return slices.Collect(slices.Chunk(memory, comparedSize))
}

func ourBuffers(t *testing.T, r *Ring) *BufRing {
	t.Helper()
	b, err := NewBufRing(r, testGroup, comparedBuffers, 0)
	if err != nil {
		refused(t, err)
	}
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	return b
}

// theirBuffers uses giouring's own mapping, which it never frees.
func theirBuffers(t *testing.T, r *giouring.Ring) *giouring.BufAndRing {
	t.Helper()
	b, err := r.SetupBufRing(comparedBuffers, testGroup, 0)
	if err != nil {
		refused(t, err)
	}
	t.Cleanup(func() { assert.NoError(t, r.FreeBufRing(testGroup)) })
	return b
}

// The same buffers are added to both, past the end of the ring. No receive reads them.
func TestBufRingOfGiouring(t *testing.T) {
	ours, theirs := ourBuffers(t, ourRing(t)), theirBuffers(t, theirRing(t))
	lent := mapBuffers(t)
	mask := giouring.BufRingMask(comparedBuffers)
	memory, want := entriesOfOurs(ours), entriesOfTheirs(theirs, comparedBuffers)
	bid := uint16(0x0102)
	for batch := range 4 {
		for i := range 3 {
			p := lent[(3*batch+i)%len(lent)][:10+i]
			ours.Add(bid, p)
			theirs.BufRingAdd(addressOf(p), uint32(len(p)), bid, mask, i)
			bid += 0x0101
		}
		ours.Publish()
		theirs.BufRingAdvance(3)
		require.Equal(t, want, memory, "after %d batches", batch+1)
	}
}

// One and the same entry receives on both rings, each into a buffer of its own group.
func TestReceiveCompletesAsOnGiouring(t *testing.T) {
	ours, theirs := ourRing(t), theirRing(t)
	ourGroup, theirGroup := ourBuffers(t, ours), theirBuffers(t, theirs)
	ourMemory, theirMemory := mapBuffers(t)[0], mapBuffers(t)[0]
	const bid = 0x0203
	ourGroup.Add(bid, ourMemory)
	ourGroup.Publish()
	theirGroup.BufRingAdd(addressOf(theirMemory), comparedSize, bid, giouring.BufRingMask(comparedBuffers), 0)
	theirGroup.BufRingAdvance(1)

	socket, peer := socketPair(t)
	var s SQE
	s.PrepRecvSelect(socket, testGroup, 0)
	s.UserData = 0x0102030405060708
	b := bytesOfOurs(&s)

	write(t, peer, "hello")
	want := theirTurn(t, theirs, b)
	write(t, peer, "hello")
	got := ourTurn(t, ours, b)
	assert.Equal(t, want, got)
	id, ok := got.Buffer()
	assert.True(t, ok)
	assert.EqualValues(t, bid, id)
	assert.EqualValues(t, 5, got.Res)
	assert.Equal(t, s.UserData, got.UserData)
	assert.Equal(t, "hello", string(ourMemory[:5]))
	assert.Equal(t, "hello", string(theirMemory[:5]))
}
