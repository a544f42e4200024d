package session

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// ErrTooManyFiles is why a stream has been reset whose peer has sent more files than ReceiveFiles says.
var ErrTooManyFiles = errors.New("the peer has sent more files than ReceiveFiles lets wait")

// errFilesLost is why a stream has been reset for whose files the process had no room.
var errFilesLost = fmt.Errorf("files of the peer could not be received: the process has no descriptor left: %w", syscall.EMFILE)

// errNoFiles is why files cannot be passed.
var errNoFiles = fmt.Errorf("only Unix sockets without TLS pass files: %w", errors.ErrUnsupported)

// inFiles are files that have come and that nobody has taken. The loop's.
type inFiles struct {
	waiting []backend.Descriptor
	opened  []*os.File // of a Conn that was adopted, in front of these
	limit   int
}

func (f *inFiles) len() int { return len(f.waiting) + len(f.opened) }

// TakeFiles returns the files that have come and were not taken yet, in the order in which they were sent. They are the
// caller's, who closes them, and close-on-exec. Files are there when OnData is called for the byte with which they were
// sent, or before. Loop only, also in OnClose; it does not block.
//
// Without StreamOptions.ReceiveFiles there are none. The names of the files mean nothing. A file may be anything that the
// peer had open: reading from it may block, and so may closing it, which had better not happen on the loop; and the peer
// may go on using what it has sent.
func (s *Stream) TakeFiles() []*os.File {
	s.onLoopOnly("TakeFiles")
	all := s.takeFiles()
	if len(all) > 0 && !s.over {
		s.scheduleTurnEnd() // it may read on
	}
	return all
}

func (s *Stream) takeFiles() []*os.File {
	f := s.seldom().files
	if f == nil || f.len() == 0 {
		return nil
	}
	all := append(f.opened, s.loop.Sockets.OpenFiles(f.waiting)...)
	f.waiting, f.opened = nil, nil
	return all
}

// checkFiles says why a listener or a dial cannot receive as many files as its own options ask for. If it is a Transport's
// default, o is changed: that is for streams that can.
func (e *Engine) checkFiles(options, network string, tls bool, own int, o *StreamOptions) error {
	can := network == "unix" && !tls
	switch {
	case o.ReceiveFiles == 0:
	case own > 0 && !can:
		return fmt.Errorf("%s.ReceiveFiles is %d; %w", options, own, errNoFiles)
	case !can:
		o.ReceiveFiles = 0
	case !e.sockets().PassesFiles():
		return fmt.Errorf("%s.ReceiveFiles is %d; this backend passes no files: %w", options, o.ReceiveFiles, errors.ErrUnsupported)
	}
	return nil
}

// expectFiles has files received, if the stream is to. Its addresses are known, and nothing is received yet.
func (s *Stream) expectFiles() {
	if s.opts.ReceiveFiles == 0 || !s.ends.IsUnix() || s.tls != nil {
		return
	}
	own := s.needs()
	if own.files == nil {
		own.files = &inFiles{}
	}
	own.files.limit = s.opts.ReceiveFiles
	s.sock.Files = true
}

// refuseFiles ends the receiving of files. The kernel closes those that still come.
func (s *Stream) refuseFiles() { s.sock.Files = false }

// RoomForFiles implements backend.FileOwner.
func (e *streamEvents) RoomForFiles() int {
	s := (*Stream)(e)
	if s.rx.refuses() {
		return 0
	}
	return max(s.own.files.limit-s.own.files.len(), 0)
}

// ReceivedFiles implements backend.FileOwner. A stream of whose files some are lost cannot go on, no more than one of whose
// bytes some are: the program would take one file for another.
func (e *streamEvents) ReceivedFiles(files backend.Received) {
	s := (*Stream)(e)
	if s.rx.refuses() {
		s.closeFiles(files.Files)
		return
	}
	room := e.RoomForFiles()
	s.own.files.waiting = append(s.own.files.waiting, files.Files...)
	if !files.Lost {
		return
	}
	cause := ErrTooManyFiles
	if len(files.Files) < min(room, backend.MaxFiles) {
		cause = errFilesLost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.opErrorLocked("read", cause)
	if s.life.handOff() != nil {
		s.life.handOff().fail(err)
		return
	}
	s.abortLocked(err, true)
}

// holdsFiles reports whether files wait with bytes that OnData has not been called for. Nothing more is received before
// that, so that a handler that takes its files has room for the next ones.
func (s *Stream) holdsFiles() bool {
	return s.own != nil && s.own.files != nil && s.rx.unseen() > 0 && len(s.own.files.waiting) > 0
}

// dropFiles closes the files that nobody has taken.
func (s *Stream) dropFiles() {
	f := s.seldom().files
	if f == nil {
		return
	}
	s.closeFiles(f.waiting)
	if opened := f.opened; len(opened) > 0 {
		s.loop.engine.files.closeAway(s.loop.engine, func() { closeAll(opened) })
	}
	s.own.files = nil
}

// closeFiles closes descriptors of files. Loop only.
func (s *Stream) closeFiles(files []backend.Descriptor) {
	if len(files) > 0 {
		e := s.loop.engine
		e.files.closeAway(e, func() { e.sockets().CloseFiles(files) })
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
