package session

import (
	"errors"
	"fmt"

	"github.com/tandem-io/tandem/backend"
)

// errNoCredentials is why there are no credentials of a peer.
var errNoCredentials = fmt.Errorf("only the peer of a Unix socket has credentials: %w", errors.ErrUnsupported)

// PeerCredentials returns who has connected the other end of a Unix socket, or listened there: the kernel says so, and
// the peer cannot change it. They are those of that time; a process that has got the socket from another is not known.
// A PID may be another process's by now. Any goroutine, also in OnOpen; it does not block.
//
// Errors are *net.OpErrors, with errors.ErrUnsupported for other networks and where the backend cannot tell, and
// syscall.ENOTCONN while the stream is being dialled; and net.ErrClosed after the end.
func (s *Stream) PeerCredentials() (who backend.PeerCredentials, err error) {
	err = s.withSocket("get", func(fd backend.Descriptor) error {
		if !s.ends.IsUnix() {
			return errNoCredentials
		}
		who, err = s.loop.Sockets.PeerCredentials(fd)
		return err
	})
	return who, err
}
