package tandem_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// refusable are the system calls that SECURITY.md lists, without those that Go's own runtime cannot do without, among
// them write(2), and without those in which a loop waits: S38_DriverFails refuses these. Those with a descriptor are refused for the files
// of loops of that kind only, because the runtime has some, too.
var refusable = map[string]struct {
	calls []uint32
	files string
	only  tandem.Backend // Auto: both
}{
	"accept4":           {calls: []uint32{unix.SYS_ACCEPT4}},
	"socket":            {calls: []uint32{unix.SYS_SOCKET}},
	"connect":           {calls: []uint32{unix.SYS_CONNECT}},
	"bind":              {calls: []uint32{unix.SYS_BIND}},
	"listen":            {calls: []uint32{unix.SYS_LISTEN}},
	"getsockopt":        {calls: []uint32{unix.SYS_GETSOCKOPT}},
	"setsockopt":        {calls: []uint32{unix.SYS_SETSOCKOPT}},
	"getsockname":       {calls: []uint32{unix.SYS_GETSOCKNAME}},
	"getpeername":       {calls: []uint32{unix.SYS_GETPEERNAME}},
	"recvfrom":          {calls: []uint32{unix.SYS_RECVFROM}},
	"recvmsg":           {calls: []uint32{unix.SYS_RECVMSG}},
	"sendto":            {calls: []uint32{unix.SYS_SENDTO}},
	"sendmsg":           {calls: []uint32{unix.SYS_SENDMSG}},
	"shutdown":          {calls: []uint32{unix.SYS_SHUTDOWN}},
	"close":             {calls: []uint32{unix.SYS_CLOSE}},
	"fcntl":             {calls: []uint32{unix.SYS_FCNTL}},
	"poll":              {calls: pollCalls()},
	"ioctl":             {calls: []uint32{unix.SYS_IOCTL}},
	"munmap":            {calls: []uint32{unix.SYS_MUNMAP}},
	"read":              {calls: []uint32{unix.SYS_READ}, files: "anon_inode:[eventfd]"},
	"epoll_ctl":         {calls: []uint32{unix.SYS_EPOLL_CTL}, files: "anon_inode:[eventpoll]", only: tandem.Epoll},
	"timerfd_settime":   {calls: []uint32{unix.SYS_TIMERFD_SETTIME}, only: tandem.Epoll},
	"io_uring_register": {calls: []uint32{unix.SYS_IO_URING_REGISTER}, only: tandem.Uring},
}

func pollCalls() []uint32 {
	calls := []uint32{unix.SYS_PPOLL}
	if runtime.GOARCH == "amd64" {
		calls = append(calls, 7) // SYS_POLL, which others do not have
	}
	return calls
}

// TestFaultCallRefused forbids a system call, before Open or after it. What cannot be done without it is an error, and
// everything else goes on; or the loop ends, as S38 says. Nothing hangs, and nothing spins.
func TestFaultCallRefused(t *testing.T) {
	t.Parallel()
	for call, k := range refusable {
		for _, errno := range []syscall.Errno{unix.EPERM, unix.ENOSYS} {
			when := "after"
			if errno == unix.ENOSYS {
				when = "before"
			}
			if when == "before" && k.files != "" {
				continue // the descriptors are not known yet
			}
			t.Run(call+" "+when, func(t *testing.T) {
				t.Parallel()
				faults(t, process{}, func(t *testing.T, b tandem.Backend) {
					if k.only == tandem.Auto || k.only == b {
						testCallRefused(t, b, k.calls, k.files, errno)
					}
				})
			})
		}
	}
}

func testCallRefused(t *testing.T, b tandem.Backend, calls []uint32, files string, errno syscall.Errno) {
	u := &underRefusal{t: t, peer: startProcess(t, "TestPeerProcess", b)}
	o := silent(b)
	o.Loops = 1
	before := eventFiles(t, files)
	open := func() bool {
		tr, err := tandem.Open(&o)
		if err == nil {
			u.tr = tr
		}
		return err == nil
	}
	if errno == unix.ENOSYS {
		require.NoError(t, filter(errno, calls))
		if !open() {
			return // and says so, instead of hanging
		}
		u.listen()
	} else {
		require.True(t, open(), "Open")
		u.listen()
		u.connect()
		var own []int
		for fd := range eventFiles(t, files) {
			if !before[fd] {
				own = append(own, fd)
			}
		}
		if files != "" {
			require.NotEmpty(t, own, "files of the loop: %s", files)
		}
		require.NoError(t, filterOf(errno, calls, own))
	}
	u.use()
}

// eventFiles are the descriptors of files of that kind.
func eventFiles(t *testing.T, kind string) map[int]bool {
	t.Helper()
	all := map[int]bool{}
	for _, d := range descriptors(t) {
		number, target, _ := strings.Cut(d, " -> ")
		var fd int
		if _, err := fmt.Sscan(number, &fd); err == nil && target == kind {
			all[fd] = true
		}
	}
	return all
}

// underRefusal uses a Transport in every way, and bounds each by time.
type underRefusal struct {
	t    *testing.T
	peer *server
	tr   tandem.Transport
	h    refusedHandler

	listeners []tandem.Listener // of a socket of its own, and of one from elsewhere
	streams   []*tandem.Stream  // accepted before the refusal; the peer knows them by their index
	lives     [5]bool           // which of them echo under the refusal
}

// refusedHandler echoes, and reports.
type refusedHandler struct {
	echoHandler
	opened chan *tandem.Stream
}

func (h refusedHandler) OnOpen(s *tandem.Stream) { h.opened <- s }

func (u *underRefusal) listen() {
	u.h = refusedHandler{opened: make(chan *tandem.Stream, 100)}
	if l, err := u.tr.Listen("tcp", "127.0.0.1:0", u.h, nil); err == nil {
		u.listeners = append(u.listeners, l)
	}
	other, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return
	}
	defer other.Close()
	if l, err := u.tr.Listen("tcp", "", u.h, &tandem.ListenOptions{From: other}); err == nil {
		u.listeners = append(u.listeners, l)
	}
}

// connect has the peer open some connections.
func (u *underRefusal) connect() {
	for i := range u.lives {
		require.Equal(u.t, "echoed", u.ask("connect "+u.listeners[i%2].Addr().String()))
		u.streams = append(u.streams, arrives(u.t, u.h.opened, "OnOpen"))
	}
}

// ask gives the peer a command, and returns its answer.
func (u *underRefusal) ask(command string) string {
	u.t.Helper()
	u.peer.tell("%s", command)
	word, rest := u.peer.answer()
	u.t.Logf("%s: %s %s", command, word, rest)
	return word
}

// bounded runs what must return.
func (u *underRefusal) bounded(what string, fn func()) {
	u.t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); fn() }()
	arrives(u.t, done, "the return of %s", what)
}

// ended reports whether the loop has ended, as S38 says.
func (u *underRefusal) ended() bool {
	select {
	case <-u.tr.Done():
		assert.Error(u.t, u.tr.Err())
		return true
	default:
		return false
	}
}

func (u *underRefusal) use() {
	t := u.t
	for i := range u.streams { // an echo, or the end
		answer := u.ask(fmt.Sprint("again ", i))
		assert.NotEqual(t, "silent", answer, "stream %d", i)
		u.lives[i] = answer == "echoed"
	}
	if len(u.streams) == len(u.lives) {
		u.useStreams()
	}
	for _, l := range u.listeners {
		answer := u.ask("connect " + l.Addr().String())
		told := l.Err() != nil || l.Stats().Errors > 0 || u.ended() // of a listener that cannot accept
		assert.True(t, answer != "silent" || told, "a connection gets no answer, and the listener says nothing")
	}
	u.bounded("Dial", func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience/2)
		defer cancel()
		s, err := u.tr.Dial(ctx, "tcp", u.peer.address(), echoHandler{}, nil)
		assert.False(t, errors.Is(err, context.DeadlineExceeded), "Dial waits in vain")
		if err == nil {
			_ = s.Close()
		}
	})
	u.bounded("Listen", func() {
		if l, err := u.tr.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil); err == nil {
			_ = l.Close()
		}
	})
	u.quiet()
	u.bounded("Close", func() { _ = u.tr.Close() })
	arrives(t, u.tr.Done(), "Done")
}

// useStreams calls methods of streams from this goroutine.
func (u *underRefusal) useStreams() {
	t := u.t
	ran := make(chan struct{})
	if s := u.streams[0]; s.Post(func() { s.After(time.Millisecond, func() { close(ran) }) }) == nil {
		u.bounded("a timer", func() {
			for {
				select {
				case <-ran:
					return
				case <-time.After(time.Millisecond):
					if u.ended() || s.Post(func() {}) != nil {
						return
					}
				}
			}
		})
	}
	told := make(chan error, 1)
	if u.streams[1].WriteNotify(make([]byte, 1<<20), func(err error) { told <- err }) == nil {
		u.ask("drain 1")
		_ = arrives(t, told, "the function of WriteNotify")
	}
	lives := u.lives[2] && u.streams[2].Abort() == nil
	if end := u.ask("end 2"); lives {
		assert.Equal(t, "reset", end, "how the peer of a stream that was aborted sees it end")
	}
	_ = u.streams[3].Close()
	assert.NotEqual(t, "silent", u.ask("end 3"), "a stream that was closed")
	u.bounded("Detach", func() {
		if c, err := u.streams[4].Detach(); err == nil {
			_ = c.SetDeadline(time.Now().Add(patience / 2))
			_, err = c.Write([]byte("x"))
			assert.False(t, errors.Is(err, os.ErrDeadlineExceeded), "a detached connection waits in vain")
			_ = c.Close()
		}
	})
}

// quiet checks that the loop does not spin.
func (u *underRefusal) quiet() {
	if u.ended() {
		return
	}
	time.Sleep(during / 3)
	before := u.tr.Stats()
	time.Sleep(during)
	after := u.tr.Stats()
	assert.Less(u.t, after.Turns-before.Turns, uint64(30), "turns in %v of a loop on which nothing moves", during)
	assert.Less(u.t, after.SystemCalls-before.SystemCalls, uint64(150), "system calls in %v of a loop on which nothing moves", during)
}
