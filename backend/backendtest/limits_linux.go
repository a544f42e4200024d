package backendtest

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// tooManyFiles lets accept fail for want of descriptors, and checks whether the other streams and the listener live on.
func tooManyFiles(e *Env) {
	if e.Network == "unix" || e.Dialled || e.Peers != nil {
		return // the same code
	}
	limitFiles(e)
	t := e.Open(func(o *Options) { o.Loops = 1 })
	h := NewHooks()
	h.env(e)
	h.Data = func(s *session.Stream) { b, _ := s.Next(-1); _, _ = s.Write(b) }
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err, "listen")
	p := e.Connect(l.Addr())
	h.Opened()
	waiting, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(e, err, "socket")
	e.Cleanup(func() { _ = unix.Close(waiting) })
	free := takeAllFiles(e)
	to := l.Addr().(*net.TCPAddr)
	require.NoError(e, unix.Connect(waiting, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}), "connect")
	require.NoError(e, unix.SetNonblock(waiting, true), "set non-blocking")
	e.Eventually(func() bool { return l.Stats().Backoffs >= 2 }, "the listener backs off")
	sparing(e, t, l)
	for range 10 {
		_, err := p.Write([]byte("ping"))
		require.NoError(e, err, "write")
		e.ReadAll(p, 4)
	}
	free()
	h.Opened() // by itself
	_, err = unix.Write(waiting, []byte("pong"))
	require.NoError(e, err, "write")
	got := make([]byte, 4)
	e.Eventually(func() bool {
		n, err := unix.Read(waiting, got)
		return err == nil && n == 4
	}, "the echo of the connection that waited")
	e.Eventually(func() bool { return t.Stats().AcceptErrors >= 2 }, "failed accepts are counted")
	require.NoError(e, l.Close(), "close the listener")
}

// sparing checks that a listener that backs off leaves the loop asleep: its attempts are few, because each waits twice
// as long as the one before, and the loop makes few turns for each.
func sparing(e *Env, t *session.Engine, l session.Listener) {
	began := time.Now()
	turns, backoffs := t.Stats().Turns, l.Stats().Backoffs
	e.Eventually(func() bool { return l.Stats().Backoffs >= backoffs+4 }, "four more attempts")
	// After the second attempt 10 ms, then 20, 40 and 80; the first of these may have been over when this began.
	assert.GreaterOrEqual(e, time.Since(began), 140*time.Millisecond, "the time of four more attempts to accept")
	turns, backoffs = t.Stats().Turns-turns, l.Stats().Backoffs-backoffs
	assert.LessOrEqual(e, turns, 8*(backoffs+1), "turns of the loop for %d attempts to accept", backoffs)
	s := l.Stats()
	assert.LessOrEqual(e, s.Errors, s.Backoffs, "accepts that failed, and those followed by a wait")
}

// limitFiles lowers the limit of open files to a little above what is open. It comes before the listener: an accept of
// io_uring keeps the limit that was in force when it was asked for.
func limitFiles(e *Env) {
	var old unix.Rlimit
	require.NoError(e, unix.Getrlimit(unix.RLIMIT_NOFILE, &old), "getrlimit")
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(e, err, "dup")
	_ = unix.Close(fd)
	require.NoError(e, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(fd + 64), Max: old.Max}), "setrlimit")
	e.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) })
}

// takeAllFiles opens files until there may be no more. It looks twice: an accept of io_uring that finds no connection has
// reserved a descriptor for a moment.
func takeAllFiles(e *Env) (free func()) {
	var taken []int
	take := func() {
		for {
			fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return
			}
			taken = append(taken, fd)
		}
	}
	take()
	time.Sleep(moment)
	take()
	free = func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
		taken = nil
	}
	e.Cleanup(free)
	return free
}
