package backendtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

// The rules on files that come. Those on files that are sent are in files_send_linux.go, and those on ends with either in
// files_ends_linux.go.
var unixRulesLinux = []Rule{
	{"S42_FilesReceived", filesReceived},
	{"S42_FilesUnseen", filesUnseen},
	{"S42_FilesNotAsked", filesNotAsked},
	{"S42_TooManyFiles", tooManyReceived},
	{"S42_FilesWithoutDescriptors", filesWithoutDescriptors},
	{"S42_FilesSent", filesSent},
	{"S42_FilesBeforeOnOpen", filesBeforeOpen},
	{"S42_FilesInOrder", filesInOrder},
	{"S42_FilesRefused", filesRefused},
	{"S42_FilesQueueFull", filesQueueFull},
	{"S42_FilesAtEveryEnd", filesAtEveryEnd},
	{"S42_FilesUntaken", filesUntaken},
	{"S42_FilesBehindAReset", filesBehindAReset},
	{"S42_FilesAndDetach", filesAndDetach},
	{"S42_FilesAndTLS", filesAndTLS},
	{"S42_FilesAndRelay", filesAndRelay},
}

// passesFiles reports whether a rule on files runs in this setup, and has Pair connect Unix sockets then.
func (e *Env) passesFiles() bool {
	if e.Peers != nil || e.TLS || e.Network != "tcp" {
		return false
	}
	e.Network = "unix"
	return true
}

// unixPair is Pair for a peer that passes files.
func (e *Env) unixPair(t *session.Engine, h *Hooks, o session.StreamOptions) (*session.Stream, *net.UnixConn) {
	e.Helper()
	s, p := e.PairOn(t, h, o)
	return s, p.(plainPeer).halfCloser.(*net.UnixConn)
}

// numbered makes n files, each of which contains its number.
func (e *Env) numbered(from, n int) (all []*os.File) {
	e.Helper()
	for i := range n {
		fd, err := unix.MemfdCreate("numbered", unix.MFD_CLOEXEC)
		require.NoError(e, err)
		f := os.NewFile(uintptr(fd), "numbered")
		_, err = fmt.Fprint(f, from+i)
		require.NoError(e, err)
		all = append(all, f)
	}
	return all
}

// number returns what numbered has written, and closes the file.
func (e *Env) number(f *os.File) (n int) {
	e.Helper()
	b := make([]byte, 16)
	k, err := f.ReadAt(b, 0)
	assert.ErrorIs(e, err, io.EOF)
	_, err = fmt.Sscan(string(b[:k]), &n)
	assert.NoError(e, err)
	assert.NoError(e, f.Close())
	return n
}

// numbers are those of files in their order. It closes them.
func (e *Env) numbers(files []*os.File) (all []int) {
	e.Helper()
	for _, f := range files {
		all = append(all, e.number(f))
	}
	return all
}

// upTo are the numbers from 0 to n-1.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// pass sends p with files from a peer, and closes them.
func (e *Env) pass(c *net.UnixConn, p string, files ...*os.File) error {
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, _, err := c.WriteMsgUnix([]byte(p), unix.UnixRights(fds...), nil)
	closeAll(files)
	return err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// canary returns a file, and a function that waits until nobody has it open any longer.
func (e *Env) canary() (f *os.File, gone func(what string)) {
	e.Helper()
	r, w, err := os.Pipe()
	require.NoError(e, err)
	e.Cleanup(func() { _ = r.Close() })
	return w, func(what string) {
		e.Helper()
		require.NoError(e, r.SetReadDeadline(time.Now().Add(patience)))
		_, err := r.Read(make([]byte, 1))
		assert.Equal(e, io.EOF, err, "a file is still open: %s", what)
	}
}

// filesReceived sends files in many ways to a handler that takes them when it is called for their byte.
func filesReceived(e *Env) {
	if !e.passesFiles() {
		return
	}
	var mu sync.Mutex // guards what follows
	var got []*os.File
	var bytes []byte
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		files := s.TakeFiles()
		assert.Empty(e, s.TakeFiles(), "files, a second time")
		p, _ := s.Next(-1)
		mu.Lock()
		defer mu.Unlock()
		got, bytes = append(got, files...), append(bytes, p...)
		late := 0
		for _, c := range bytes { // each says how many files were to come with it
			late += int(c)
		}
		assert.GreaterOrEqual(e, len(got), late, "files that have come with %d bytes", len(bytes))
	}
	s, p := e.unixPair(e.Under(), h, session.StreamOptions{ReceiveFiles: 253})
	total := 0
	for _, n := range []int{1, 0, 2, 253, 0, 0, 7, 1, 1, 1, 252} {
		require.NoError(e, e.pass(p, string([]byte{byte(n), 0, 0}), e.numbered(total, n)...))
		total += n
	}
	e.Eventually(func() bool { mu.Lock(); defer mu.Unlock(); return len(bytes) == 33 }, "all bytes")
	for _, f := range got {
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		require.NoError(e, err)
		assert.Equal(e, unix.FD_CLOEXEC, flags&unix.FD_CLOEXEC, "close-on-exec")
	}
	assert.Equal(e, upTo(total), e.numbers(got))
	require.NoError(e, s.Close())
	require.NoError(e, h.Closed())
}

// filesUnseen sends many messages with a file each to a stream of which one may wait, and that pauses again and again: a
// handler that takes its file has room for the next.
func filesUnseen(e *Env) {
	if !e.passesFiles() {
		return
	}
	const messages = 100
	var files []int
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		files = append(files, e.numbers(s.TakeFiles())...)
		_, _ = s.Next(-1)
		if len(files)%3 == 0 {
			s.PauseRead()
			_ = s.After(time.Millisecond, s.ResumeRead)
		}
	}
	_, p := e.unixPair(e.Under(), h, session.StreamOptions{ReceiveFiles: 1})
	for i := range messages {
		require.NoError(e, e.pass(p, "m", e.numbered(i, 1)...))
	}
	require.NoError(e, p.Close())
	require.NoError(e, h.Closed())
	assert.Equal(e, upTo(messages), files)
}

// filesNotAsked sends as many files as go with every byte, to a stream that wants none.
func filesNotAsked(e *Env) {
	if !e.passesFiles() {
		return
	}
	const messages = 60
	h := NewHooks()
	s, p := e.unixPair(e.Under(), h, session.StreamOptions{})
	f, gone := e.canary()
	all := make([]int, 253)
	for i := range all {
		all[i] = int(f.Fd())
	}
	before := len(takeCensus().files)
	for range messages {
		_ = p.SetWriteDeadline(time.Now().Add(patience))
		_, _, err := p.WriteMsgUnix([]byte("m"), unix.UnixRights(all...), nil)
		require.NoError(e, err)
		require.LessOrEqual(e, len(takeCensus().files), before, "descriptors")
	}
	e.Eventually(func() bool { return h.Len() == messages }, "all bytes")
	e.onLoop(s, func() { assert.Nil(e, s.TakeFiles()) })
	require.NoError(e, f.Close())
	gone("it was sent to a stream that receives none")
	require.NoError(e, s.Close())
	require.NoError(e, h.Closed())
}

// tooManyReceived sends as many files as go with every byte, to a stream of which four may wait.
func tooManyReceived(e *Env) {
	if !e.passesFiles() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 1 })
	quiet := echo()
	_, beside := e.unixPair(t, quiet, session.StreamOptions{})
	f, gone := e.canary()
	before := len(takeCensus().files)
	for _, wait := range []int{0, 1, 4} { // files that the handler has left before
		h := NewHooks()
		h.Close = func(s *session.Stream, _ error) {
			files := s.TakeFiles()
			assert.LessOrEqual(e, len(files), 4, "files that wait")
			closeAll(files)
		}
		_, p := e.unixPair(t, h, session.StreamOptions{ReceiveFiles: 4})
		require.NoError(e, e.pass(p, "m", e.numbered(0, wait)...))
		e.Eventually(func() bool { return h.Len() == 1 }, "the first byte")
		all := make([]int, 253)
		for i := range all {
			all[i] = int(f.Fd())
		}
		for range 1000 {
			_ = p.SetWriteDeadline(time.Now().Add(patience))
			if _, _, err := p.WriteMsgUnix([]byte("m"), unix.UnixRights(all...), nil); err != nil {
				break
			}
			assert.LessOrEqual(e, len(takeCensus().files), before+20, "descriptors")
		}
		err := h.Closed()
		e.opError(err, "read", "unix")
		assert.ErrorIs(e, err, session.ErrTooManyFiles)
		assert.Equal(e, 1, h.Len(), "bytes: those that came with files which were lost are not delivered")
		require.NoError(e, p.Close())
	}
	e.pingPong(plainPeer{beside})
	require.NoError(e, f.Close())
	gone("it was sent to a stream that does not want so many")
}

// filesWithoutDescriptors receives files when the process has no descriptor left.
func filesWithoutDescriptors(e *Env) {
	if !e.passesFiles() {
		return
	}
	h := NewHooks()
	s, p := e.unixPair(e.Under(), h, session.StreamOptions{ReceiveFiles: 4})
	var old unix.Rlimit
	require.NoError(e, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	files := e.numbered(0, 2)
	restore := func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }
	e.Cleanup(restore)
	require.NoError(e, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}))
	passed := e.pass(p, "m", files...)
	err := h.Closed()
	restore()
	require.NoError(e, passed)
	e.opError(err, "read", "unix")
	assert.ErrorIs(e, err, unix.EMFILE)
	assert.ErrorIs(e, s.WriteFiles([]byte("m"), os.Stdin), net.ErrClosed)
}
