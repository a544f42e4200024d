package backend

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
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
func lockPath(path string, patience time.Duration, clock Clock) (*pathLock, error) {
	name := path + lockSuffix
	for end := clock.Now().Add(patience); ; Sleep(clock, time.Millisecond) {
		file, err := lockFile(name)
		switch {
		case err == nil:
			return &pathLock{file, name}, nil
		case !errors.Is(err, unix.EAGAIN):
			if _, there := os.Lstat(name); there == nil {
				return nil, fmt.Errorf("lock the path: %w", err)
			}
			return nil, nil
		case clock.Now().After(end):
			return nil, fmt.Errorf("another process is beginning to listen there, and has locked %s: %w", name, unix.EADDRINUSE)
		}
	}
}

// release gives the lock back.
func (l *pathLock) release() {
	if l != nil {
		unlockFile(l.file, l.name)
	}
}
