package session

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// tooManyOnTheirWay is how long a stream waits before it tries again to send files for which the kernel has no room.
const tooManyOnTheirWay = 100 * time.Millisecond

// errFilesQueued is why a stream cannot be given away or encrypted now.
var errFilesQueued = fmt.Errorf("files are queued that only this stream can send: %w", syscall.EBUSY)

// outFiles are files that were written and have not been sent. The stream's mu guards it.
type outFiles struct {
	marks []fileMark // in the order of the bytes
	n     int        // files of all marks
	waits bool       // sending waits for retry, and for no driver
	retry backend.Timer
}

// fileMark is where in the bytes files go.
type fileMark struct {
	at    uint64 // how many bytes are sent before: they go with the next one
	files []backend.Descriptor
}

// WriteFiles is Write, and passes open files over a Unix socket, SCM_RIGHTS of unix(7): they go with the first byte of p, in
// their order, and with what was written before in front of them. p must not be empty: files go with bytes. The peer has
// them when it receives that byte, by TakeFiles or recvmsg(2), if it wants any.
//
// WriteFiles duplicates the files before it returns. So the caller may close its own at once; what it does with the open
// file, such as to read from it, the peer sees. Files that are still queued when the stream ends are closed. Without files
// it is Write.
//
// It takes all or nothing. ErrWriteBufferFull is also the error if more than 253 files would be queued. Other errors are
// *net.OpErrors: errors.ErrUnsupported where files cannot be passed, which is everywhere but over Unix sockets without TLS
// on epoll and io_uring; syscall.EINVAL for an empty p, or more than 253 files; syscall.EMFILE and others if a file cannot
// be duplicated, such as os.ErrClosed. While the kernel has too many files of this user on their way, the stream tries
// again every 100 ms. Any goroutine; it does not block.
func (s *Stream) WriteFiles(p []byte, files ...*os.File) error {
	if len(files) == 0 {
		_, err := s.Write(p)
		return err
	}
	if err := s.mayPassFiles(p, files); err != nil {
		return err
	}
	own, err := s.loop.Sockets.DuplicateFiles(files)
	if err != nil {
		return s.opError("write", err)
	}
	rest, err := s.writeFiles(p, own)
	if s.loop.OnLoop() {
		s.closeFiles(rest)
	} else {
		s.loop.Sockets.CloseFiles(rest)
	}
	return err
}

// mayPassFiles says why files cannot be passed.
func (s *Stream) mayPassFiles(p []byte, files []*os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unix := s.ends.IsUnix() || s.opts.dial != nil && s.opts.dial.network == "unix"
	switch {
	case s.refusesLocked():
		return net.ErrClosed
	case !unix || s.tls != nil:
		return s.opErrorLocked("write", errNoFiles)
	case !s.loop.Sockets.PassesFiles():
		return s.opErrorLocked("write", fmt.Errorf("this backend passes no files: %w", errors.ErrUnsupported))
	case len(p) == 0:
		return s.opErrorLocked("write", fmt.Errorf("files go with a byte, and there is none: %w", syscall.EINVAL))
	case len(files) > backend.MaxFiles:
		return s.opErrorLocked("write", fmt.Errorf("%d files; at most %d go at a time: %w", len(files), backend.MaxFiles, syscall.EINVAL))
	}
	return nil
}

// writeFiles sends or queues p and files, and returns the files that are not queued and have to be closed.
func (s *Stream) writeFiles(p []byte, files []backend.Descriptor) ([]backend.Descriptor, error) {
	here := s.loop.OnLoop()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.tls != nil: // StartTLS was called meanwhile
		return files, s.opErrorLocked("write", errNoFiles)
	case s.tx.files != nil && s.tx.files.n+len(files) > backend.MaxFiles:
		return files, ErrWriteBufferFull
	}
	if err := s.admitLocked(len(p)); err != nil {
		return files, err
	}
	n := 0
	if !here && s.idleLocked() {
		var err error
		n, err = s.loop.Sockets.TrySendFiles(s.fd, [][]byte{p}, files)
		if err == syscall.ETOOMANYREFS {
			err = nil // the loop tries again
		}
		n = s.directLocked(n, err)
	}
	if n == 0 {
		s.tx.mark(files)
		files = nil
	}
	if n < len(p) {
		s.enqueueLocked(here, p[n:])
	}
	return files, nil
}

// mark has files go with the next byte that is queued.
func (t *tx) mark(files []backend.Descriptor) {
	if t.files == nil {
		t.files = &outFiles{}
	}
	t.files.marks = append(t.files.marks, fileMark{t.sent + uint64(t.out.len()), files})
	t.files.n += len(files)
}

// cut returns the files that go with the first byte, and bufs up to where the next ones go.
func (f *outFiles) cut(bufs [][]byte, sent uint64) (_ [][]byte, files []backend.Descriptor) {
	marks := f.marks
	if marks[0].at == sent {
		files, marks = marks[0].files, marks[1:]
	}
	if len(marks) == 0 {
		return bufs, files
	}
	left := int(marks[0].at - sent)
	for i, p := range bufs {
		if left <= len(p) {
			bufs[i] = p[:left]
			return bufs[:i+1], files
		}
		left -= len(p)
	}
	return bufs, files
}

// trySendQueueLocked sends the front of the queue, as much as the kernel takes at once.
func (s *Stream) trySendQueueLocked(bufs [][]byte) (int, error) {
	if s.tx.files == nil {
		return s.loop.Sockets.TrySendVector(s.fd, bufs)
	}
	bufs, files := s.tx.files.cut(bufs, s.tx.sent)
	if files == nil {
		return s.loop.Sockets.TrySendVector(s.fd, bufs)
	}
	n, err := s.loop.Sockets.TrySendFiles(s.fd, bufs, files)
	if err == syscall.ETOOMANYREFS {
		return 0, nil
	}
	return n, err
}

// sendWithFilesLocked gives the front of a queue in which there are files to the driver. Loop only.
func (s *Stream) sendWithFilesLocked(bufs [][]byte) (int, error) {
	bufs, files := s.tx.files.cut(bufs, s.tx.sent)
	if files == nil {
		return s.loop.Driver.Send(&s.sock, bufs)
	}
	n, err := s.loop.Driver.SendFiles(&s.sock, bufs, files)
	if err != syscall.ETOOMANYREFS {
		return n, err
	}
	f := s.tx.files
	f.waits = true
	f.retry.Fire = func() { s.sendFilesAgain(f) }
	s.loop.StartTimer(&f.retry, tooManyOnTheirWay)
	return 0, backend.ErrPending
}

// sendFilesAgain is called when files that the kernel would not take are to be tried again.
func (s *Stream) sendFilesAgain(f *outFiles) {
	s.mu.Lock()
	again := s.tx.files == f && f.waits && s.life.phase <= closing
	f.waits = false
	s.mu.Unlock()
	if again {
		s.events().Sent(0, nil)
	}
}

// filesSentLocked closes the files that have gone with bytes that the kernel took. Loop only.
func (s *Stream) filesSentLocked() {
	f := s.tx.files
	for len(f.marks) > 0 && f.marks[0].at < s.tx.sent {
		s.closeFiles(f.marks[0].files)
		f.n -= len(f.marks[0].files)
		f.marks[0] = fileMark{}
		f.marks = f.marks[1:]
	}
	if len(f.marks) == 0 {
		s.tx.files = nil
	}
}

// dropFilesLocked closes the files that will not be sent. Loop only.
func (s *Stream) dropFilesLocked() {
	if s.tx.files == nil {
		return
	}
	for _, m := range s.tx.files.marks {
		s.closeFiles(m.files)
	}
	s.tx.files = nil
}
