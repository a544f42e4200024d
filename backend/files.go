package backend

import (
	"errors"
	"os"
)

// MaxFiles is how many files go with one send at most: SCM_MAX_FD, unix(7).
const MaxFiles = 253

// SocketFiles are the calls that pass open files over Unix sockets. NoFiles is for drivers that cannot. Descriptors of
// files are of the same kind as those of sockets, close-on-exec, and closed by CloseFiles alone.
type SocketFiles interface {
	// PassesFiles reports whether files can be passed. If not, nobody makes the other calls but DuplicateFiles, and the
	// Files of no Socket is set.
	PassesFiles() bool

	// DuplicateFiles returns other descriptors of the same open files, or none and why not.
	DuplicateFiles(files []*os.File) ([]Descriptor, error)

	// OpenFiles makes the descriptors those of files.
	OpenFiles(files []Descriptor) []*os.File

	// CloseFiles closes them. It may wait, unlike all other calls: closing a file can take what its file system takes, and
	// the last descriptor of a socket with SO_LINGER as long as that says.
	CloseFiles(files []Descriptor)

	// TrySendFiles is TrySendVector, and passes files with the first byte: all of them if the count is above 0, else none.
	// They stay the caller's. There are at most MaxFiles, and one byte at least. The error is syscall.ETOOMANYREFS while
	// too many of the user's files are on their way, to any socket.
	TrySendFiles(d Descriptor, bufs [][]byte, files []Descriptor) (int, error)

	// TryReceiveFiles is TryReceive, and takes the files that have come with these bytes, room of them at most.
	TryReceiveFiles(d Descriptor, p []byte, room int) (n int, files Received, err error)
}

// Received are files that have come with bytes.
type Received struct {
	Files []Descriptor // the receiver's

	// Lost says that there were more: there was no room for them, or the process had no descriptor left. The kernel has
	// closed them.
	Lost bool
}

// FileOwner is an Owner of a Socket whose Files is set.
type FileOwner interface {
	Events

	// RoomForFiles is how many files the driver may take with the next bytes.
	RoomForFiles() int

	// ReceivedFiles reports files that have come, or were lost. The bytes that they have come with follow, by Received;
	// there may be others in front of these that came without.
	ReceivedFiles(files Received)
}

// NoFiles is for drivers that pass no files.
type NoFiles struct{}

// PassesFiles implements SocketFiles.
func (NoFiles) PassesFiles() bool { return false }

// DuplicateFiles implements SocketFiles.
func (NoFiles) DuplicateFiles([]*os.File) ([]Descriptor, error) { return nil, errors.ErrUnsupported }

// OpenFiles implements SocketFiles.
func (NoFiles) OpenFiles([]Descriptor) []*os.File { return nil }

// CloseFiles implements SocketFiles.
func (NoFiles) CloseFiles([]Descriptor) {}

// TrySendFiles implements SocketFiles.
func (NoFiles) TrySendFiles(Descriptor, [][]byte, []Descriptor) (int, error) {
	return 0, errors.ErrUnsupported
}

// TryReceiveFiles implements SocketFiles.
func (NoFiles) TryReceiveFiles(Descriptor, []byte, int) (int, Received, error) {
	return 0, Received{}, errors.ErrUnsupported
}

// SendFiles implements Driver.
func (NoFiles) SendFiles(*Socket, [][]byte, []Descriptor) (int, error) {
	return 0, errors.ErrUnsupported
}
