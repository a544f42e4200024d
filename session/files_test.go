package session

import (
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// newFileActor is newActor on a kernel that passes files.
func newFileActor(t *testing.T) *actor {
	t.Helper()
	a := newActor(t, StreamOptions{})
	a.passes, a.fakeFiles.kernel = true, a.fakeKernel
	return a
}

// TestFilesGoWithTheirByte has the kernel take what is written in small parts.
func TestFilesGoWithTheirByte(t *testing.T) {
	for room := 1; room < 12; room++ {
		a := newFileActor(t)
		a.f.room = 0
		require.NoError(t, a.s.WriteFiles([]byte("ab"), os.Stdin, os.Stdin))
		_, err := a.s.Write([]byte("cde"))
		require.NoError(t, err)
		require.NoError(t, a.s.WriteFiles([]byte("f"), os.Stdin))
		require.NoError(t, a.s.WriteFiles([]byte("ghi"), os.Stdin))
		for a.s.Queued() > 0 {
			a.f.room = room
			a.turn()
		}
		assert.Equal(t, "abcdefghi", a.f.got())
		assert.Equal(t, []int{0, 0, 5, 6}, a.passed, "the bytes with which files went")
		assert.Equal(t, []int{0, 1, 2, 3}, a.gone, "duplicates that were closed")
		assert.Nil(t, a.s.tx.files)
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
	}
}

// TestFilesFlushed flushes a queue with files in it.
func TestFilesFlushed(t *testing.T) {
	a := newFileActor(t)
	_, err := a.s.Write([]byte("12"))
	require.NoError(t, err)
	require.NoError(t, a.s.WriteFiles([]byte("3"), os.Stdin))
	_, err = a.s.Write([]byte("45"))
	require.NoError(t, err)
	require.NoError(t, a.s.Flush())
	assert.Equal(t, "12345", a.f.got())
	assert.Equal(t, []int{2}, a.passed)
	require.NoError(t, a.s.Close())
	a.ended("close <nil>", inOrder)
}

// TestFilesFlushedTooSoon flushes when the kernel takes no files, or has no room.
func TestFilesFlushedTooSoon(t *testing.T) {
	a := newFileActor(t)
	a.full = syscall.ETOOMANYREFS
	_, err := a.s.Write([]byte("12"))
	require.NoError(t, err)
	require.NoError(t, a.s.WriteFiles([]byte("3"), os.Stdin))
	require.NoError(t, a.s.Flush())
	assert.Equal(t, "12", a.f.got())
	a.full, a.f.room = nil, 0
	a.pass(2 * tooManyOnTheirWay)
	assert.Equal(t, "12", a.f.got())
	a.f.room = plenty
	a.turn()
	assert.Equal(t, "123", a.f.got())
	assert.Equal(t, []int{2}, a.passed)
	require.NoError(t, a.s.Close())
	a.ended("close <nil>", inOrder)
}

// TestFilesElsewhere writes on another goroutine: directly, behind a queue, and to a peer that has gone.
func TestFilesElsewhere(t *testing.T) {
	a := newFileActor(t)
	elsewhere(func() { assert.NoError(t, a.s.WriteFiles([]byte("1"), os.Stdin)) })
	assert.Equal(t, []int{0}, a.passed)
	assert.Equal(t, []int{0}, a.gone)
	a.f.room = 0
	elsewhere(func() { assert.NoError(t, a.s.WriteFiles([]byte("23"), os.Stdin)) })
	a.f.room = 1
	a.turn()
	a.f.room = plenty
	a.turn()
	assert.Equal(t, []int{0, 1}, a.passed)
	assert.Equal(t, []int{0, 1}, a.gone)
	a.full = syscall.EPIPE
	elsewhere(func() { assert.NoError(t, a.s.WriteFiles([]byte("4"), os.Stdin)) })
	a.turn()
	assert.Equal(t, []int{0, 1, 2}, a.gone)
	assert.Contains(t, a.took(), "broken pipe")
	assert.Equal(t, net.ErrClosed, a.s.WriteFiles([]byte("5"), os.Stdin))
	assert.Equal(t, 3, a.made, "a write that is refused duplicates nothing")
}

// TestTooManyFilesOnTheirWay has the kernel refuse files for a while, which are tried again.
func TestTooManyFilesOnTheirWay(t *testing.T) {
	for _, here := range []bool{true, false} {
		a := newFileActor(t)
		a.full = syscall.ETOOMANYREFS
		write := func() { assert.NoError(t, a.s.WriteFiles([]byte("12"), os.Stdin)) }
		if here {
			write()
		} else {
			elsewhere(write)
		}
		for range 5 {
			a.turn()
			assert.Equal(t, 2, a.s.Queued())
		}
		a.full = nil
		a.turn()
		assert.Empty(t, a.f.got(), "it is not tried in each turn")
		a.pass(2 * tooManyOnTheirWay)
		assert.Equal(t, "12", a.f.got())
		assert.Equal(t, []int{0}, a.gone)

		a.full = syscall.ETOOMANYREFS
		require.NoError(t, a.s.WriteFiles([]byte("3"), os.Stdin))
		a.turn()
		require.NoError(t, a.s.Abort())
		a.turn()
		assert.Equal(t, []int{0, 1}, a.gone)
		assert.Contains(t, a.took(), "close")
		a.full = nil
		a.pass(2 * tooManyOnTheirWay)
		assert.Equal(t, "12", a.f.got(), "nothing is tried again after the end")
	}
}

// TestWaitingFiles has files come faster than the handler is called.
func TestWaitingFiles(t *testing.T) {
	a := newFileActor(t)
	a.s.needs().files, a.s.sock.Files = &inFiles{limit: 2}, true
	come := func(n int, lost bool) {
		var files []backend.Descriptor
		for range n {
			files = append(files, backend.NewDescriptor(a.made))
			a.made++
		}
		a.s.events().ReceivedFiles(backend.Received{Files: files, Lost: lost})
		a.f.send("x")
		a.turn()
	}
	require.True(t, a.f.receiving)
	a.s.rx.beginTurn(a.s.loop.Turn())
	a.s.rx.turnReads = readsPerTurn // the stream has had its share of the turn
	a.s.events().ReceivedFiles(backend.Received{Files: []backend.Descriptor{backend.NewDescriptor(a.made)}})
	a.made++
	a.s.events().Received([]byte("x"))
	assert.Empty(t, a.took())
	assert.False(t, a.f.receiving, "files wait with bytes that the handler has not seen")
	assert.Equal(t, 1, a.s.events().RoomForFiles())
	a.turn()
	assert.Equal(t, "data x", a.took())
	assert.True(t, a.f.receiving, "the handler was called")
	assert.Len(t, a.s.TakeFiles(), 1)
	assert.Nil(t, a.s.TakeFiles())
	assert.Equal(t, 2, a.s.events().RoomForFiles())
	come(2, true)
	a.turn()
	assert.Contains(t, a.took(), ErrTooManyFiles.Error())
	assert.Equal(t, []int{1, 2}, a.gone)
}
