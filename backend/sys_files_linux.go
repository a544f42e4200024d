package backend

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// PassesFiles implements SocketFiles.
func (Linux) PassesFiles() bool { return true }

// DuplicateFiles implements SocketFiles. It leaves the flags of the open files alone: others have them, too.
func (l Linux) DuplicateFiles(files []*os.File) ([]Descriptor, error) {
	all := make([]Descriptor, 0, len(files))
	for i, f := range files {
		d, err := duplicateFile(f)
		if err != nil {
			l.CloseFiles(all)
			return nil, fmt.Errorf("duplicate file %d: %w", i, err)
		}
		all = append(all, d)
	}
	return all, nil
}

func duplicateFile(f *os.File) (Descriptor, error) {
	if f == nil {
		return Descriptor{}, os.ErrInvalid
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return Descriptor{}, err
	}
	n, dupErr := -1, error(nil)
	if err := raw.Control(func(fd uintptr) { n, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return Descriptor{}, os.ErrClosed // which the error of package poll is not
	}
	if dupErr != nil {
		return Descriptor{}, os.NewSyscallError("fcntl", dupErr)
	}
	return NewDescriptor(n), nil
}

// OpenFiles implements SocketFiles.
func (Linux) OpenFiles(files []Descriptor) []*os.File {
	all := make([]*os.File, len(files))
	for i, d := range files {
		all[i] = os.NewFile(uintptr(d.FD()), "received")
	}
	return all
}

// CloseFiles implements SocketFiles.
func (Linux) CloseFiles(files []Descriptor) {
	for _, d := range files {
		_ = unix.Close(d.FD()) // the scheduler knows that it may wait
	}
}

// TrySendFiles implements SocketFiles.
func (Linux) TrySendFiles(d Descriptor, bufs [][]byte, files []Descriptor) (int, error) {
	n, err := SendFiles(d.FD(), bufs, files)
	if err == unix.EAGAIN {
		return 0, nil
	}
	return n, err
}

// SendFiles is SendVector with files: sendmsg(2), SCM_RIGHTS of unix(7). It takes no byte without the files, and no file
// without a byte.
func SendFiles(fd int, bufs [][]byte, files []Descriptor) (int, error) {
	fds := make([]int, len(files))
	for i, d := range files {
		fds[i] = d.FD()
	}
	rights := unix.UnixRights(fds...)
	for {
		n, err := unix.SendmsgBuffers(fd, bufs[:min(len(bufs), MaxVector)], rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// TryReceiveFiles implements SocketFiles.
func (Linux) TryReceiveFiles(d Descriptor, p []byte, room int) (int, Received, error) {
	switch n, files, err := recvFiles(d.FD(), p, room); {
	case err == unix.EAGAIN:
		return 0, files, nil
	case n == 0 && err == nil:
		return 0, files, io.EOF
	default:
		return n, files, err
	}
}

// ReceiveWithFiles receives into p for a Socket whose Files is set, and reports the files to its owner. The bytes are the
// caller's to report. n and err are those of Recv.
func ReceiveWithFiles(s *Socket, p []byte) (n int, err error) {
	owner := s.Owner.(FileOwner)
	n, files, err := recvFiles(s.FD(), p, owner.RoomForFiles())
	if len(files.Files) > 0 || files.Lost {
		owner.ReceivedFiles(files)
	}
	return n, err
}

// recvFiles is Recv, and takes at most room files that have come with these bytes: recvmsg(2). The kernel lets a receive
// end behind the bytes with which files were sent, so that files of two sends never come together; unix_stream_read_generic
// in net/unix/af_unix.c. It closes those for which the control buffer has no room, as it closes all for recv(2).
func recvFiles(fd int, p []byte, room int) (n int, files Received, err error) {
	var control []byte
	if room > 0 {
		// Not CmsgSpace: in what that adds for alignment there may be room for one more.
		control = make([]byte, unix.CmsgLen(4*min(room, MaxFiles)))
	}
	for {
		var used, flags int
		n, used, flags, _, err = unix.RecvmsgBuffers(fd, [][]byte{p}, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, files, err
		}
		files = Received{Files: rightsIn(control[:used]), Lost: flags&unix.MSG_CTRUNC != 0}
		return n, files, nil
	}
}

// rightsIn returns the descriptors in control messages.
func rightsIn(control []byte) (files []Descriptor) {
	if len(control) == 0 {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(control)
	for i := range messages {
		fds, rightsErr := unix.ParseUnixRights(&messages[i])
		err = errors.Join(err, rightsErr)
		for _, fd := range fds {
			files = append(files, NewDescriptor(fd))
		}
	}
	_ = err // what is no SCM_RIGHTS holds no descriptors
	return files
}
