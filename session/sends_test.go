package session

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// TestSendsThatAreAnsweredLater has a driver that reads what it was given until it reports Sent, as io_uring does.
func TestSendsThatAreAnsweredLater(t *testing.T) {
	t.Run("who waits is told", func(t *testing.T) {
		a, told := beginSend(t)
		a.f.room = plenty
		a.turn()
		assert.Equal(t, []error{nil}, *told)
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
	})
	t.Run("nothing overtakes one", func(t *testing.T) {
		a, told := beginSend(t)
		a.f.room = plenty
		_, err := a.s.Write([]byte(", second"))
		require.NoError(t, err)
		require.NoError(t, a.s.Flush())
		elsewhere(func() {
			_, err := a.s.Write([]byte(", third"))
			assert.NoError(t, err)
			_, err = a.s.Writev(net.Buffers{[]byte(", four"), []byte("th")})
			assert.NoError(t, err)
			assert.NoError(t, a.s.Flush())
		})
		require.Empty(t, a.f.got(), "before the answer")
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
		assert.Equal(t, "first, second, third, fourth", a.f.got())
		assert.Equal(t, []error{nil}, *told)
	})
	t.Run("FIN waits for the answer", func(t *testing.T) {
		a, _ := beginSend(t)
		require.NoError(t, a.s.CloseWrite())
		a.turn()
		assert.False(t, a.f.fin)
		a.f.room = plenty
		a.turn()
		assert.True(t, a.f.fin)
		assert.Equal(t, "first", a.f.got())
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
	})
	t.Run("a short one", func(t *testing.T) {
		a, told := beginSend(t)
		a.f.room = 2
		a.turn()
		assert.Equal(t, "fi", a.f.got())
		assert.Empty(t, *told)
		a.f.room = plenty
		a.turn()
		assert.Equal(t, "first", a.f.got())
		assert.Equal(t, []error{nil}, *told)
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
	})
}

// beginSend has a send in flight that the driver has not answered.
func beginSend(t *testing.T) (a *actor, told *[]error) {
	a = newActor(t, StreamOptions{})
	a.f.later, a.f.room = true, 0
	told = new([]error)
	require.NoError(t, a.s.WriteNotify([]byte("first"), func(err error) { *told = append(*told, err) }))
	a.turn()
	require.True(t, a.f.sending)
	require.Empty(t, *told)
	return a, told
}

// TestTakenBeforeTheEnd has a stream end before its loop could say that the kernel has taken everything.
func TestTakenBeforeTheEnd(t *testing.T) {
	for name, end := range map[string]func(*actor){
		"the loop dies": func(a *actor) { a.kill(a.engine.loops[0], errors.New("on purpose")) },
		"Abort":         func(a *actor) { require.NoError(a, a.s.Abort()); a.turn() },
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor(t, StreamOptions{})
			var told []error
			elsewhere(func() {
				assert.NoError(t, a.s.WriteNotify([]byte("taken"), func(err error) { told = append(told, err) }))
			})
			require.Equal(t, "taken", a.f.got())
			end(a)
			require.Equal(t, closed, a.s.life.phase)
			assert.Equal(t, []error{nil}, told, "the kernel has every byte")
		})
	}
}

// TestVectorThatIsTakenInPart has another goroutine write slices of which the kernel takes the front, of any length.
func TestVectorThatIsTakenInPart(t *testing.T) {
	const all = "abcdefghij"
	for room := range len(all) + 1 {
		a := newActor(t, StreamOptions{})
		a.f.room = room
		elsewhere(func() {
			n, err := a.s.Writev(net.Buffers{[]byte(all[:3]), nil, []byte(all[3:7]), []byte(all[7:])})
			assert.NoError(t, err)
			assert.EqualValues(t, len(all), n)
		})
		assert.Equal(t, all[:room], a.f.got())
		assert.Equal(t, len(all)-room, a.s.Queued())
		a.f.room = plenty
		a.turn()
		assert.Equal(t, all, a.f.got(), "after %d bytes", room)
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
	}
}

// TestEndBehindAFailedSend has a send of another goroutine take the connection's error from the kernel: what the driver
// sees then looks like an end, and is none.
func TestEndBehindAFailedSend(t *testing.T) {
	a := newActor(t, StreamOptions{})
	a.f.receiving = false
	a.f.failure = syscall.ECONNRESET
	elsewhere(func() {
		_, err := a.s.Write([]byte("x"))
		assert.NoError(t, err)
	})
	require.Equal(t, ending, a.s.life.phase)
	a.s.events().ReceiveEnded(io.EOF)
	a.ended(failed("write"), backend.Closing{Reset: true})
}
