//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package portable

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// pair returns the ends of a connection, which are blocking, as others may have made them.
func pair(t *testing.T) (a, b uintptr) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	})
	return uintptr(fds[0]), uintptr(fds[1])
}

// The calls of all Unix systems, and those that a system has in their place, do the same, and never wait.
func TestCallsThatTry(t *testing.T) {
	for name, c := range map[string]struct {
		receive func(uintptr, []byte) (int, error)
		send    func(uintptr, [][]byte) (int, error)
	}{"all": {receiveByUnix, sendByUnix}, "this one": {receiveOnce, sendOnce}} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			p := make([]byte, 100)
			_, err := c.receive(b, p)
			assert.Equal(t, error(errAgain), err)
			assert.False(t, hasInput(b))
			n, err := c.send(a, [][]byte{[]byte("one "), []byte("two")})
			require.NoError(t, err)
			require.Equal(t, 7, n)
			assert.True(t, hasInput(b))
			n, err = c.receive(b, p)
			require.NoError(t, err)
			assert.Equal(t, "one two", string(p[:n]))
			n, err = c.send(a, [][]byte{[]byte("three")})
			require.NoError(t, err)
			require.Equal(t, 5, n)
			n, err = c.receive(b, p)
			require.NoError(t, err)
			assert.Equal(t, "three", string(p[:n]))
			for err == nil {
				_, err = c.send(a, [][]byte{bytes.Repeat([]byte("full"), 10_000)})
			}
			assert.Equal(t, error(errAgain), err)
			assert.False(t, hasEnded(a))
			require.NoError(t, unix.Shutdown(int(a), unix.SHUT_RDWR))
			for err = nil; err == nil; {
				_, err = c.receive(b, p)
			}
			assert.Equal(t, io.EOF, err)
			_, err = c.send(b, [][]byte{[]byte("x")})
			assert.Equal(t, error(unix.EPIPE), err)
		})
	}
}

func TestErrorOfASocketIsTakenOnce(t *testing.T) {
	a, _ := pair(t)
	assert.NoError(t, takeError(a))
	assert.False(t, hasFailed(a))
}
