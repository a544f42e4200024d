package tandem_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// TestFaultNoFilesLeft reaches the limit of open files, and does everything that needs one: each is an error that says
// so, nothing spins, what there is goes on, and everything works once files are free.
func TestFaultNoFilesLeft(t *testing.T) {
	t.Parallel()
	faults(t, process{}, func(t *testing.T, b tandem.Backend) {
		u := &underRefusal{t: t, peer: startProcess(t, "TestPeerProcess", b)}
		at := u.peer.address()
		o := silent(b)
		tr, err := tandem.Open(&o)
		require.NoError(t, err)
		u.tr = tr
		files := openFiles()
		lowerFiles(t, 64)
		u.listen() // behind the limit, which an accept of io_uring keeps
		u.connect()
		adopted, err := net.Dial("tcp", at)
		require.NoError(t, err)
		free := takeFiles(t)
		before, began := tr.Stats(), time.Now()
		for _, l := range u.listeners {
			assert.Equal(t, "silent", u.ask("connect "+l.Addr().String()), "a connection waits in the backlog")
			assert.NotZero(t, l.Stats().Backoffs, "a listener waits for files")
			assert.NoError(t, l.Err())
		}
		for what, err := range u.needFiles(b, at, adopted) {
			assert.ErrorIs(t, err, unix.EMFILE, what)
		}
		turns := float64(tr.Stats().Turns-before.Turns) / time.Since(began).Seconds()
		assert.Less(t, turns, 100.0, "turns a second of both loops, with calls from outside among them")
		assert.Equal(t, "echoed", u.ask("again 0"), "a stream that there was")
		free()
		assert.Equal(t, "echoed", u.ask("again 5"), "the connection that has waited for the first listener")
		assert.Equal(t, "echoed", u.ask("again 6"), "and for the second")
		for what, err := range u.needFiles(b, at, adopted) {
			assert.NoError(t, err, "%s, when files are free again", what)
		}
		assert.Equal(t, "EOF", u.ask("end 1"), "the peer of a stream that was detached and closed")
		nothingLeft(t, tr, files)
	})
}

// needFiles does what takes a descriptor, and returns the errors.
func (u *underRefusal) needFiles(b tandem.Backend, at string, conn net.Conn) map[string]error {
	u.t.Helper()
	all := map[string]error{}
	s, err := u.tr.Dial(u.t.Context(), "tcp", at, tandem.BaseHandler{}, &tandem.DialOptions{Timeout: patience})
	if all["Dial"] = err; err == nil {
		_ = s.Abort()
	}
	var op *net.OpError
	assert.True(u.t, err == nil || errors.As(err, &op) && op.Op == "dial", "%v", err)
	h := newRecorder()
	if s, err = u.tr.Connect("tcp", at, h, &tandem.DialOptions{Timeout: patience}); assert.NoError(u.t, err) {
		select {
		case <-h.opened:
			_ = s.Abort()
			_ = arrives(u.t, h.closed, "OnClose")
		case all["Connect"] = <-h.closed:
		case <-time.After(patience):
			assert.Fail(u.t, "Connect ends in nothing")
		}
	}
	l, err := u.tr.Listen("tcp", "127.0.0.1:0", tandem.BaseHandler{}, nil)
	if all["Listen"] = err; err == nil {
		_ = l.Close()
	}
	assert.True(u.t, err == nil || errors.As(err, &op) && op.Op == "listen", "%v", err)
	detached, err := u.streams[1].Detach()
	if all["Detach"] = err; err == nil {
		_ = detached.Close()
	}
	s, err = u.tr.Adopt(conn.(*net.TCPConn), tandem.BaseHandler{})
	if all["Adopt"] = err; err == nil {
		_ = s.Abort()
	}
	for _, b := range []tandem.Backend{b, tandem.Auto} {
		o := silent(b)
		o.Loops = 1
		other, err := tandem.Open(&o)
		if all["Open "+b.String()] = err; err == nil {
			_ = other.Close()
		}
	}
	return all
}

// lowerFiles allows so many descriptors more than there are.
func lowerFiles(t *testing.T, more int) {
	t.Helper()
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur = uint64(lowestFree(t) + more)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}

// takeFiles opens files until there may be no more. It looks twice: an accept of io_uring that finds no connection has
// reserved a descriptor for a moment.
func takeFiles(t *testing.T) (free func()) {
	t.Helper()
	var taken []*os.File
	for range 2 {
		for {
			f, err := os.Open("/")
			if err != nil {
				break
			}
			taken = append(taken, f)
		}
		time.Sleep(during / 10)
	}
	return func() {
		for _, f := range taken {
			_ = f.Close()
		}
	}
}
