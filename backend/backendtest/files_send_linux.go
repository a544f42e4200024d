package backendtest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// receiveSome is one recvmsg(2) of a peer, of at most n bytes.
func (e *Env) receiveSome(c *net.UnixConn, n int) (p []byte, files []*os.File, err error) {
	e.Helper()
	p = make([]byte, n)
	control := make([]byte, unix.CmsgSpace(4*backend.MaxFiles))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	n, used, flags, _, err := c.ReadMsgUnix(p, control)
	if err != nil {
		return nil, nil, err
	}
	assert.Zero(e, flags&unix.MSG_CTRUNC, "files are lost")
	messages, err := unix.ParseSocketControlMessage(control[:used])
	require.NoError(e, err)
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		require.NoError(e, err)
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	if n == 0 {
		err = io.EOF
	}
	return p[:n], files, err
}

// filesSent writes files from the loop and from elsewhere, and closes its own at once.
func filesSent(e *Env) {
	if !e.passesFiles() {
		return
	}
	h := NewHooks()
	s, p := e.unixPair(e.Under(), h, session.StreamOptions{})
	canary, gone := e.canary()
	write := func() {
		files := append(e.numbered(0, 2), canary)
		assert.NoError(e, s.WriteFiles([]byte("with files"), files...))
		closeAll(files)
	}
	check := func() {
		got, files, err := e.receiveSome(p, 100)
		require.NoError(e, err)
		assert.Equal(e, "with files", string(got))
		require.Len(e, files, 3)
		assert.Equal(e, upTo(2), e.numbers(files[:2]))
		require.NoError(e, files[2].Close())
		gone("it was sent, received and closed")
	}
	write()
	check()
	canary, gone = e.canary()
	e.onLoop(s, write)
	check()
	require.NoError(e, s.WriteFiles([]byte("no files")))
	got, files, err := e.receiveSome(p, 100)
	require.NoError(e, err)
	assert.Equal(e, "no files", string(got))
	assert.Empty(e, files)
	require.NoError(e, s.Close())
	require.NoError(e, h.Closed())
}

// filesBeforeOpen writes files to streams of Connect and of Adopt whose loop has not come to them yet.
func filesBeforeOpen(e *Env) {
	if !e.once() {
		return
	}
	e.Network = "unix"
	t := e.oneLoop()
	for _, adopts := range []bool{true, false} {
		h, l := NewHooks(), e.listenPlain("unix", e.Address())
		h.env(e)
		release := e.held(t)
		defer release()
		var s *session.Stream
		c, err := net.Dial("unix", l.Addr().String())
		require.NoError(e, err)
		if adopts {
			s, err = t.Adopt(c.(syscall.Conn), h)
		} else {
			s, err = t.Connect("unix", l.Addr().String(), h, nil)
			require.NoError(e, c.Close())
			gone, acceptErr := l.Accept()
			require.NoError(e, acceptErr)
			require.NoError(e, gone.Close())
		}
		require.NoError(e, err)
		sent := e.numbered(0, 2)
		err = s.WriteFiles([]byte("early"), sent...)
		closeAll(sent)
		require.NoError(e, err, "adopted: %v", adopts)
		release()
		p, err := l.Accept()
		require.NoError(e, err)
		got, files, err := e.receiveSome(p.(*net.UnixConn), 100)
		require.NoError(e, err)
		assert.Equal(e, "early", string(got))
		assert.Equal(e, upTo(2), e.numbers(files))
		h.Opened()
		require.NoError(e, p.Close())
		_ = h.Closed()
	}
}

// filesInOrder writes bytes and files from several goroutines and from the loop, to a peer that receives in pieces of any
// size, so that the kernel takes what is written in parts.
func filesInOrder(e *Env) {
	if !e.passesFiles() {
		return
	}
	for seed := range uint64(4) {
		h := NewHooks()
		s, p := e.unixPair(e.Under(), h, session.StreamOptions{HighWater: 32 << 10})
		require.NoError(e, s.SetSocketOption(backend.SendBuffer(4<<10)))
		w := &orderedWriter{e: e, s: s, random: rand.New(rand.NewPCG(seed, 1))}
		w.run()
		w.check(p, rand.New(rand.NewPCG(seed, 2)))
		require.NoError(e, p.Close())
		_ = h.Closed()
	}
}

// orderedWriter writes bytes and files, and remembers where the files belong.
type orderedWriter struct {
	e *Env
	s *session.Stream

	mu      sync.Mutex // guards what follows; held for a write, so that it is known in which order they came
	random  *rand.Rand
	written []byte
	marks   []int // the position of the byte with which each file goes
}

// run begins to write.
func (w *orderedWriter) run() {
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 60 {
				w.write()
			}
		})
	}
	writers.Go(func() {
		for range 60 {
			done := make(chan struct{})
			if w.s.Post(func() { defer close(done); w.write(); w.write() }) != nil {
				return
			}
			<-done
		}
	})
	go func() {
		writers.Wait()
		_ = w.s.CloseWrite()
	}()
}

func (w *orderedWriter) write() {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := len(w.written)
	p := pattern()[at : at+1+w.random.IntN(1+w.random.IntN(9000))]
	var files []*os.File
	if w.random.IntN(3) == 0 {
		files = w.e.numbered(len(w.marks), 1+w.random.IntN(3))
	}
	err := w.s.WriteFiles(p, files...)
	closeAll(files)
	if errors.Is(err, session.ErrWriteBufferFull) {
		return // too many files are queued
	}
	assert.NoError(w.e, err)
	w.written = append(w.written, p...)
	for range files {
		w.marks = append(w.marks, at)
	}
}

// check receives until the end. The kernel lets a receive end behind the bytes that were sent with files.
func (w *orderedWriter) check(p *net.UnixConn, random *rand.Rand) {
	e := w.e
	e.Helper()
	var got []byte
	n := 0
	for {
		piece, files, err := e.receiveSome(p, 1+random.IntN(1+random.IntN(20000)))
		if err != nil {
			require.ErrorIs(e, err, io.EOF)
			break
		}
		w.mu.Lock()
		for _, f := range files {
			require.Equal(e, n, e.number(f), "the file")
			at := w.marks[n]
			assert.True(e, len(got) <= at && at < len(got)+len(piece), "file %d belongs to byte %d, and came with %d to %d", n, at, len(got), len(got)+len(piece)-1)
			n++
		}
		w.mu.Unlock()
		got = append(got, piece...)
	}
	assert.Len(e, w.marks, n, "files")
	assert.True(e, string(got) == string(w.written), "%d bytes came, and %d were written", len(got), len(w.written))
}

// filesRefused passes files where that cannot be done.
func filesRefused(e *Env) {
	if !e.once() {
		return
	}
	h := NewHooks()
	s, _ := e.Pair(h, session.StreamOptions{})
	err := s.WriteFiles([]byte("m"), os.Stdin)
	e.opError(err, "write", "tcp")
	assert.ErrorIs(e, err, errors.ErrUnsupported)
	for _, o := range []*session.ListenOptions{
		{StreamOptions: session.StreamOptions{ReceiveFiles: 1}, TLS: serverTLS()},
		{StreamOptions: session.StreamOptions{ReceiveFiles: 1}},
	} {
		_, err := e.Under().Listen("tcp", "127.0.0.1:0", h, o)
		e.opError(err, "listen", "tcp")
		assert.ErrorIs(e, err, errors.ErrUnsupported)
		assert.ErrorContains(e, err, "ListenOptions.ReceiveFiles is 1")
	}
	_, err = e.Under().Connect("tcp", "127.0.0.1:1", h, &session.DialOptions{StreamOptions: session.StreamOptions{ReceiveFiles: 2}})
	e.opError(err, "dial", "tcp")
	assert.ErrorContains(e, err, "DialOptions.ReceiveFiles is 2")
	_, err = e.Under().ListenConn("unix", "", &session.ListenOptions{StreamOptions: session.StreamOptions{ReceiveFiles: 2}})
	e.opError(err, "listen", "unix")

	e.Network = "unix"
	t := e.Open(func(o *Options) { o.Stream.ReceiveFiles = 1 })
	none := NewHooks() // a default that a listener does not want
	s, p := e.unixPair(t, none, session.StreamOptions{ReceiveFiles: -1})
	require.NoError(e, e.pass(p, "m", e.numbered(0, 1)...))
	e.Eventually(func() bool { return none.Len() == 1 }, "the byte")
	e.onLoop(s, func() { assert.Empty(e, s.TakeFiles()) })

	refused := func(want error, p string, files ...*os.File) {
		e.Helper()
		err := s.WriteFiles([]byte(p), files...)
		e.opError(err, "write", "unix")
		assert.ErrorIs(e, err, want)
	}
	closed := e.numbered(0, 1)[0]
	require.NoError(e, closed.Close())
	many := make([]*os.File, backend.MaxFiles+1)
	for i := range many {
		many[i] = os.Stdin
	}
	refused(unix.EINVAL, "", os.Stdin)
	refused(unix.EINVAL, "m", many...)
	refused(os.ErrClosed, "m", os.Stdin, closed)
	refused(os.ErrInvalid, "m", os.Stdin, nil)
	require.NoError(e, s.CloseWrite())
	assert.Equal(e, net.ErrClosed, s.WriteFiles([]byte("m"), os.Stdin))
}

// filesQueueFull queues files for a peer that does not read.
func filesQueueFull(e *Env) {
	if !e.passesFiles() {
		return
	}
	h := NewHooks()
	s, _ := e.unixPair(e.Under(), h, session.StreamOptions{})
	e.fillQueue(s)
	canary, gone := e.canary()
	before, queued := len(takeCensus().files), 0
	for ; queued < 1000; queued += 50 {
		files := make([]*os.File, 50)
		for i := range files {
			files[i] = canary
		}
		if err := s.WriteFiles([]byte("m"), files...); err != nil {
			assert.Equal(e, session.ErrWriteBufferFull, err)
			break
		}
	}
	assert.Equal(e, 250, queued, "files that were queued")
	assert.LessOrEqual(e, len(takeCensus().files), before+queued, "descriptors")
	_, err := s.Write([]byte("bytes alone still can be"))
	require.NoError(e, err)
	_, err = s.Detach()
	e.opError(err, "detach", "unix")
	assert.ErrorIs(e, err, unix.EBUSY)
	require.NoError(e, s.Abort())
	assert.ErrorIs(e, h.Closed(), net.ErrClosed)
	require.NoError(e, canary.Close())
	gone("it was queued")
}
