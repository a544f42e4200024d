//go:build linux

package ring

import (
	"bytes"
	"testing"
	"time"

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
		if c.prep(s); *s != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, *s, c.want)
		}
	}
}

// socketPair is a connected pair of stream sockets that lives as long as the test.
func socketPair(t testing.TB) (a, b int) {
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

func write(t testing.TB, fd int, s string) {
	t.Helper()
	if n, err := unix.Write(fd, []byte(s)); n != len(s) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
}

func read(t testing.TB, fd int) string {
	t.Helper()
	p := make([]byte, 1024)
	n, err := unix.Read(fd, p)
	if err != nil {
		t.Fatal(err)
	}
	return string(p[:n])
}

func TestSend(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		a, b := socketPair(t)
		entry(t, r).PrepSend(a, []byte("hello"), unix.MSG_NOSIGNAL)
		if c := completion(t, r); c.Res != 5 {
			t.Fatalf("%+v", c)
		}
		if got := read(t, b); got != "hello" {
			t.Errorf("received %q", got)
		}
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
	if err := r.Submit(); err != nil {
		t.Fatal(err)
	}
	growStack(1000)
	var got []byte
	for deadline := time.Now().Add(patience); len(got) < filled+4096; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d bytes after %v", len(got), filled+4096, patience)
		}
		p := make([]byte, 1<<16)
		n, err := unix.Read(b, p)
		if err == unix.EAGAIN {
			if err := r.Enter(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
	}
	if c := completion(t, r); c.Res != 4096 || !bytes.Equal(got[filled:], bytes.Repeat([]byte{7}, 4096)) {
		t.Errorf("%+v, or other bytes than those of the send", c)
	}
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
	if c := completion(t, r); c.Res != 13 {
		t.Fatalf("%+v", c)
	}
	if got := read(t, b); got != "one two three" {
		t.Errorf("received %q", got)
	}
}

func TestShutdown(t *testing.T) {
	r := deferredRing(t)
	a, b := socketPair(t)
	entry(t, r).PrepShutdown(a, unix.SHUT_WR)
	if c := completion(t, r); c.Res != 0 {
		t.Fatalf("%+v", c)
	}
	if got := read(t, b); got != "" {
		t.Errorf("received %q after the end", got)
	}
}

func TestMsgRing(t *testing.T) {
	r := deferredRing(t)
	other, err := New(4, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := entry(t, r)
	s.PrepMsgRing(other.FD(), 1<<63|5, 6)
	if c := completion(t, r); c.Res != 0 {
		t.Fatalf("%+v", c)
	}
	if c := completion(t, other); c.UserData != 1<<63|5 || c.Res != 6 {
		t.Errorf("%+v", c)
	}
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
			if c.Res < 0 || !c.More() || c.UserData != 1 {
				t.Fatalf("%+v", c)
			}
			checkAccepted(t, int(c.Res))
		}
		s = entry(t, r)
		s.PrepCancel(1, 0)
		s.UserData = 2
		completions(t, r, 2)
		entry(t, r).PrepAccept(l, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		connect(t, address)
		c := completion(t, r)
		if c.Res < 0 || c.More() {
			t.Fatalf("%+v", c)
		}
		checkAccepted(t, int(c.Res))
	})
}

func listen(t *testing.T) (fd int, address unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 16); err != nil {
		t.Fatal(err)
	}
	if address, err = unix.Getsockname(fd); err != nil {
		t.Fatal(err)
	}
	return fd, address
}

func connect(t *testing.T, address unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Connect(fd, address); err != nil {
		t.Fatal(err)
	}
}

// checkAccepted closes the descriptor, which has to be non-blocking and close-on-exec.
func checkAccepted(t *testing.T, fd int) {
	t.Helper()
	status, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if status&unix.O_NONBLOCK == 0 || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("accepted with status %#x and flags %#x", status, flags)
	}
	if err := unix.Close(fd); err != nil {
		t.Error(err)
	}
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
				if err := r.Submit(); err != nil {
					t.Fatal(err)
				}
				s = entry(t, r)
				c.prep(s, a)
				s.UserData = 2
				results := map[uint64]int32{}
				n := 2
				if c.want < 0 {
					n = 1
				}
				for _, q := range completions(t, r, n) {
					results[q.UserData] = q.Res
				}
				if results[2] != c.want || n == 2 && results[1] != -int32(unix.ECANCELED) {
					t.Errorf("results are %v", results)
				}
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
					if c := completion(t, r); c.Res != unix.EPOLLIN || !c.More() {
						t.Fatalf("%+v", c)
					}
					if err := r.Enter(); err != nil || r.Ready() != 0 {
						t.Fatalf("Look() = %v, Ready() = %d", err, r.Ready())
					}
				}
				if err := unix.Shutdown(b, unix.SHUT_WR); err != nil {
					t.Fatal(err)
				}
				if c := completion(t, r); c.Res != unix.EPOLLIN|unix.EPOLLRDHUP {
					t.Errorf("after the end: %+v", c)
				}
			})
		})
	}
}
