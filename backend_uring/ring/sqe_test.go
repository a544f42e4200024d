//go:build linux

package ring

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestPrep(t *testing.T) {
	p := make([]byte, 10)
	at := uint64(addressOf(p))
	msg := new(unix.Msghdr)
	msgAt := uint64(addressOfMsghdr(msg))
	for name, c := range map[string]struct {
		prep func(*SQE)
		want SQE
	}{
		"nop": {(*SQE).PrepNop, SQE{}},
		"accept": {func(s *SQE) { s.PrepAccept(5, unix.SOCK_CLOEXEC) },
			SQE{Opcode: OpAccept, Fd: 5, OpFlags: unix.SOCK_CLOEXEC}},
		"accept multishot": {func(s *SQE) { s.PrepAcceptMultishot(5, unix.SOCK_CLOEXEC) },
			SQE{Opcode: OpAccept, Fd: 5, OpFlags: unix.SOCK_CLOEXEC, IoPrio: AcceptMultishot}},
		"recv": {func(s *SQE) { s.PrepRecvSelect(5, 6, 7) },
			SQE{Opcode: OpRecv, Flags: SQEBufferSelect, Fd: 5, Len: 7, BufIndex: 6}},
		"recv multishot": {func(s *SQE) { s.PrepRecvMultishot(5, 6) },
			SQE{Opcode: OpRecv, Flags: SQEBufferSelect, IoPrio: RecvMultishot, Fd: 5, BufIndex: 6}},
		"recv multishot, bounded": {func(s *SQE) { s.PrepRecvMultishot(5, 6); s.LimitMultishot(7, 8) },
			SQE{Opcode: OpRecv, Flags: SQEBufferSelect, IoPrio: RecvMultishot, Fd: 5, Len: 7, BufIndex: 6, SpliceFdIn: 8}},
		"read": {func(s *SQE) { s.PrepReadSelect(5, 6, 7) },
			SQE{Opcode: OpRead, Flags: SQEBufferSelect, Fd: 5, Len: 7, BufIndex: 6}},
		"send": {func(s *SQE) { s.PrepSend(5, p, unix.MSG_NOSIGNAL) },
			SQE{Opcode: OpSend, Fd: 5, Addr: at, Len: 10, OpFlags: unix.MSG_NOSIGNAL}},
		"sendmsg": {func(s *SQE) { s.PrepSendMsg(5, msg, unix.MSG_NOSIGNAL) },
			SQE{Opcode: OpSendMsg, Fd: 5, Addr: msgAt, Len: 1, OpFlags: unix.MSG_NOSIGNAL}},
		"poll": {func(s *SQE) { s.PrepPollAdd(5, unix.EPOLLIN|unix.EPOLLET, false) },
			SQE{Opcode: OpPollAdd, Fd: 5, OpFlags: unix.EPOLLIN | unix.EPOLLET}},
		"poll multishot": {func(s *SQE) { s.PrepPollAdd(5, unix.EPOLLIN, true) },
			SQE{Opcode: OpPollAdd, Fd: 5, OpFlags: unix.EPOLLIN, Len: PollAddMulti}},
		"cancel": {func(s *SQE) { s.PrepCancel(1<<63, CancelAll) },
			SQE{Opcode: OpAsyncCancel, Fd: -1, Addr: 1 << 63, OpFlags: CancelAll}},
		"cancel fd": {func(s *SQE) { s.PrepCancelFD(5, CancelAll) },
			SQE{Opcode: OpAsyncCancel, Fd: 5, OpFlags: CancelAll | CancelFD}},
		"msg ring": {func(s *SQE) { s.PrepMsgRing(5, 1<<63, 7) },
			SQE{Opcode: OpMsgRing, Fd: 5, Off: 1 << 63, Len: 7}},
		"shutdown": {func(s *SQE) { s.PrepShutdown(5, unix.SHUT_WR) },
			SQE{Opcode: OpShutdown, Fd: 5, Len: unix.SHUT_WR}},
	} {
		s := new(SQE)
		c.prep(s)
		assert.Equal(t, c.want, *s, name)
	}
}

// socketPair is a connected pair of stream sockets that lives as long as the test.
func socketPair(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	})
	return fds[0], fds[1]
}

func write(t testing.TB, fd int, s string) {
	t.Helper()
	n, err := unix.Write(fd, []byte(s))
	require.NoError(t, err)
	require.Equal(t, len(s), n, "bytes written")
}

func read(t testing.TB, fd int) string {
	t.Helper()
	p := make([]byte, 1024)
	n, err := unix.Read(fd, p)
	require.NoError(t, err)
	return string(p[:n])
}

func TestSend(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		a, b := socketPair(t)
		entry(t, r).PrepSend(a, []byte("hello"), unix.MSG_NOSIGNAL)
		require.EqualValues(t, 5, completion(t, r).Res)
		assert.Equal(t, "hello", read(t, b))
	})
}

// The kernel reads the bytes of a send that does not fit long after the call that prepared it has returned, and the
// stack of that call has been used for something else.
func TestSendReadsBytesLater(t *testing.T) {
	r := deferredRing(t)
	a, b := socketPair(t)
	filled := 0
	for {
		n, err := unix.Write(a, make([]byte, 1<<16))
		if err == unix.EAGAIN {
			break
		}
		filled += n
	}
	prepareSendOfLocal(t, r, a)
	require.NoError(t, r.Submit())
	growStack(1000)
	var got []byte
	for deadline := time.Now().Add(patience); len(got) < filled+4096; {
		require.True(t, time.Now().Before(deadline), "%d of %d bytes after %v", len(got), filled+4096, patience)
		p := make([]byte, 1<<16)
		n, err := unix.Read(b, p)
		if err == unix.EAGAIN {
			require.NoError(t, r.Enter())
			continue
		}
		require.NoError(t, err)
		got = append(got, p[:n]...)
	}
	assert.EqualValues(t, 4096, completion(t, r).Res)
	assert.True(t, bytes.Equal(got[filled:], bytes.Repeat([]byte{7}, 4096)), "the bytes differ from those of the send")
}

//go:noinline
func prepareSendOfLocal(t *testing.T, r *Ring, fd int) {
	var local [4096]byte
	for i := range local {
		local[i] = 7
	}
	entry(t, r).PrepSend(fd, local[:], unix.MSG_WAITALL)
}

//go:noinline
func growStack(n int) byte {
	var p [512]byte
	p[n%512] = byte(n)
	if n > 0 {
		p[0] += growStack(n - 1)
	}
	return p[n%512] + p[0]
}

func TestSendMsg(t *testing.T) {
	r := deferredRing(t)
	a, b := socketPair(t)
	parts := [][]byte{[]byte("one "), []byte("two "), []byte("three")}
	iov := make([]unix.Iovec, len(parts))
	for i, p := range parts {
		iov[i].Base = &p[0]
		iov[i].SetLen(len(p))
	}
	msg := &unix.Msghdr{Iov: &iov[0]}
	msg.SetIovlen(len(iov))
	entry(t, r).PrepSendMsg(a, msg, unix.MSG_NOSIGNAL)
	require.EqualValues(t, 13, completion(t, r).Res)
	assert.Equal(t, "one two three", read(t, b))
}

func TestShutdown(t *testing.T) {
	r := deferredRing(t)
	a, b := socketPair(t)
	entry(t, r).PrepShutdown(a, unix.SHUT_WR)
	require.Zero(t, completion(t, r).Res)
	assert.Empty(t, read(t, b), "after the end")
}

func TestMsgRing(t *testing.T) {
	r := deferredRing(t)
	other, err := New(4, 0, 0)
	require.NoError(t, err)
	defer other.Close()
	s := entry(t, r)
	s.PrepMsgRing(other.FD(), 1<<63|5, 6)
	require.Zero(t, completion(t, r).Res)
	assert.Equal(t, CQE{UserData: 1<<63 | 5, Res: 6}, completion(t, other))
}

func TestAccept(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		l, address := listen(t)
		s := entry(t, r)
		s.PrepAcceptMultishot(l, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		s.UserData = 1
		for range 3 {
			connect(t, address)
			c := completion(t, r)
			require.True(t, c.Res >= 0 && c.More() && c.UserData == 1, "%+v", c)
			checkAccepted(t, int(c.Res))
		}
		s = entry(t, r)
		s.PrepCancel(1, 0)
		s.UserData = 2
		completions(t, r, 2)
		entry(t, r).PrepAccept(l, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		connect(t, address)
		c := completion(t, r)
		require.True(t, c.Res >= 0 && !c.More(), "%+v", c)
		checkAccepted(t, int(c.Res))
	})
}

func listen(t *testing.T) (fd int, address unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(fd, 16))
	address, err = unix.Getsockname(fd)
	require.NoError(t, err)
	return fd, address
}

func connect(t *testing.T, address unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.Connect(fd, address))
}

// checkAccepted closes the descriptor, which has to be non-blocking and close-on-exec.
func checkAccepted(t *testing.T, fd int) {
	t.Helper()
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	require.NoError(t, err)
	assert.NotZero(t, status&unix.O_NONBLOCK, "non-blocking")
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC, "close-on-exec")
	assert.NoError(t, unix.Close(fd))
}

func TestCancel(t *testing.T) {
	for name, c := range map[string]struct {
		prep func(s *SQE, fd int)
		want int32 // the result of the cancel
	}{
		"by user data":    {func(s *SQE, _ int) { s.PrepCancel(1, 0) }, 0},
		"all of fd":       {func(s *SQE, fd int) { s.PrepCancelFD(fd, CancelAll) }, 1},
		"everything":      {func(s *SQE, _ int) { s.PrepCancel(0, CancelAll|CancelAny) }, 1},
		"nothing matches": {func(s *SQE, _ int) { s.PrepCancel(77, 0) }, -int32(unix.ENOENT)},
	} {
		t.Run(name, func(t *testing.T) {
			forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
				a, _ := socketPair(t)
				s := entry(t, r)
				s.PrepPollAdd(a, unix.EPOLLIN, false)
				s.UserData = 1
				require.NoError(t, r.Submit())
				s = entry(t, r)
				c.prep(s, a)
				s.UserData = 2
				results, want := map[uint64]int32{}, map[uint64]int32{2: c.want}
				if c.want >= 0 {
					want[1] = -int32(unix.ECANCELED)
				}
				for _, q := range completions(t, r, len(want)) {
					results[q.UserData] = q.Res
				}
				assert.Equal(t, want, results)
			})
		})
	}
}

func TestPollMultishotIsEdgeTriggered(t *testing.T) {
	for name, edge := range map[string]uint32{"with EPOLLET": unix.EPOLLET, "without": 0} {
		t.Run(name, func(t *testing.T) {
			forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
				a, b := socketPair(t)
				entry(t, r).PrepPollAdd(a, unix.EPOLLIN|unix.EPOLLRDHUP|edge, true)
				for range 3 { // nothing is read, and each write is reported once
					write(t, b, "x")
					c := completion(t, r)
					require.EqualValues(t, unix.EPOLLIN, c.Res)
					require.True(t, c.More())
					require.NoError(t, r.Enter())
					require.Zero(t, r.Ready())
				}
				require.NoError(t, unix.Shutdown(b, unix.SHUT_WR))
				assert.EqualValues(t, unix.EPOLLIN|unix.EPOLLRDHUP, completion(t, r).Res, "after the end")
			})
		})
	}
}
