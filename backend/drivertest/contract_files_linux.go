package drivertest

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// fileRecorder is a Recorder that receives files.
type fileRecorder struct {
	Recorder
	room  int
	files []backend.Descriptor
	with  []int // how many bytes had been received before each
	lost  int
}

// RoomForFiles implements backend.FileOwner.
func (o *fileRecorder) RoomForFiles() int { return max(o.room-len(o.files), 0) }

// ReceivedFiles implements backend.FileOwner.
func (o *fileRecorder) ReceivedFiles(r backend.Received) {
	for range r.Files {
		o.with = append(o.with, len(o.Got))
	}
	o.files = append(o.files, r.Files...)
	if r.Lost {
		o.lost++
	}
}

// filePair attaches one end of a pair, which receives bytes and files, and returns the other.
func filePair(t *testing.T, d backend.Driver, room int) (o *fileRecorder, peer int) {
	t.Helper()
	a, b := Sockets(t)
	o = &fileRecorder{room: room}
	o.Socket = backend.Socket{Descriptor: backend.NewDescriptor(a), Owner: o, Files: true}
	require.NoError(t, d.Attach(&o.Socket))
	d.Receive(&o.Socket, true)
	Turn(t, d)
	t.Cleanup(func() { d.CloseFiles(o.files) })
	return o, b
}

// passes sends p with n files.
func passes(t *testing.T, fd int, p string, n int) {
	t.Helper()
	fds := make([]int, n)
	for i := range fds {
		fds[i] = int(os.Stdin.Fd())
	}
	require.NoError(t, unix.Sendmsg(fd, []byte(p), unix.UnixRights(fds...), nil, 0))
}

// Files come no later than their bytes, never more than there is room for, and none while receiving is off.
func filesCome(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := filePair(t, d, 3)
	passes(t, peer, "one", 1)
	Until(t, d, func() bool { return string(o.Got) == "one" })
	assert.Equal(t, []int{0}, o.with)
	Send(t, peer, []byte("none"))
	Until(t, d, func() bool { return string(o.Got) == "onenone" })
	assert.Len(t, o.files, 1)

	d.Receive(&o.Socket, false)
	Polls(t, d, 5*time.Millisecond)
	passes(t, peer, "two", 1)
	Polls(t, d, 5*time.Millisecond)
	assert.Len(t, o.files, 1, "files while receiving is off")
	d.Receive(&o.Socket, true)
	Until(t, d, func() bool { return string(o.Got) == "onenonetwo" })
	assert.Equal(t, []int{0, 7}, o.with)
	assert.Zero(t, o.lost)

	passes(t, peer, "many", 253)
	Until(t, d, func() bool { return string(o.Got) == "onenonetwomany" })
	assert.Len(t, o.files, 3)
	assert.Equal(t, 1, o.lost)
	passes(t, peer, "!", 1)
	Until(t, d, func() bool { return o.lost == 2 })
	assert.Len(t, o.files, 3)

	o.Socket.Files = false // from now on nobody is told
	passes(t, peer, "?", 1)
	Until(t, d, func() bool { return string(o.Got) == "onenonetwomany!?" })
	assert.Equal(t, 2, o.lost)
	Shut(t, peer, unix.SHUT_WR)
	Until(t, d, func() bool { return o.Ends == 1 })
	assert.Equal(t, io.EOF, o.EndErr)
	Release(t, d, &o.Recorder)
}

// A socket is released with a file in the kernel, and while its receive is being cancelled.
func filesReleased(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := filePair(t, d, 3)
	passes(t, peer, "one", 1)
	Release(t, d, &o.Recorder)
	o, peer = filePair(t, d, 3)
	d.Receive(&o.Socket, false)
	passes(t, peer, "one", 1)
	Release(t, d, &o.Recorder)
}

// Files go with the first byte, or wait for room as a Send does.
func filesGo(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := filePair(t, d, 3)
	own, err := d.DuplicateFiles([]*os.File{os.Stdin, os.Stdin})
	require.NoError(t, err)
	defer d.CloseFiles(own)
	full := make([]byte, 64<<10)
	for {
		n, err := d.SendFiles(&o.Socket, [][]byte{full}, nil)
		if err == backend.ErrPending {
			break
		}
		require.NoError(t, err)
		require.Positive(t, n)
	}
	Polls(t, d, 5*time.Millisecond)
	assert.Empty(t, o.Sends, "Sent, and there is no room")
	control := make([]byte, unix.CmsgSpace(4*backend.MaxFiles))
	receive := func() (n, used int) {
		n, used, _, _, err := unix.Recvmsg(peer, full, control, unix.MSG_DONTWAIT)
		if err != nil {
			return 0, 0
		}
		return n, used
	}
	for len(o.Sends) == 0 {
		_, used := receive()
		assert.Zero(t, used)
		Turn(t, d)
	}
	assert.Equal(t, []int{0}, o.Sends)
	for n, _ := receive(); n > 0; n, _ = receive() {
	}
	n, err := d.SendFiles(&o.Socket, [][]byte{[]byte("ab"), []byte("c")}, own)
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	n, used := receive()
	assert.Equal(t, "abc", string(full[:n]))
	assert.Equal(t, unix.CmsgSpace(8), used)
	messages, err := unix.ParseSocketControlMessage(control[:used])
	require.NoError(t, err)
	fds, err := unix.ParseUnixRights(&messages[0])
	require.NoError(t, err)
	for _, fd := range fds {
		backend.CloseFD(fd)
	}
	Shut(t, peer, unix.SHUT_RDWR)
	_, err = d.SendFiles(&o.Socket, [][]byte{[]byte("a")}, own)
	assert.Equal(t, unix.EPIPE, err)
	Release(t, d, &o.Recorder)
}
