package session

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// lockSuffix makes the name of the file that is locked out of a socket's path.
const lockSuffix = ".tandem-lock"

// pathLock is held by whoever creates or removes the socket file at a path. It is an empty file beside it, which is
// there only meanwhile. A file that a dead process has left behind is not locked, and goes with the next use.
type pathLock struct {
	file *os.File
	name string
}

// lockPatience is how long to wait for another who holds the lock. It takes the other some system calls, or what Listen
// waits at most for a process that is ending.
func lockPatience(may time.Duration) time.Duration { return max(2*may, 20*time.Millisecond) }

// lockPath locks a path, and waits so long for another who has. Where no such file can be made the error says so; if it
// was the directory that forbids it, there is no lock and no error: bind(2) will say the same, or have a right of its own.
func lockPath(path string, patience time.Duration) (*pathLock, error) {
	name := path + lockSuffix
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		file, err := backend.LockFile(name)
		switch {
		case err == nil:
			return &pathLock{file, name}, nil
		case !errors.Is(err, syscall.EAGAIN):
			if _, there := os.Lstat(name); there == nil {
				return nil, fmt.Errorf("lock the path: %w", err)
			}
			return nil, nil
		case time.Now().After(end):
			return nil, fmt.Errorf("another process is beginning to listen there, and has locked %s: %w", name, syscall.EADDRINUSE)
		}
	}
}

// release gives the lock back.
func (l *pathLock) release() {
	if l != nil {
		backend.UnlockFile(l.file, l.name)
	}
}
