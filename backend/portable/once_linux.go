package portable

import (
	"io"

	"github.com/tandem-io/tandem/backend"
)

// receiveOnce is receiveByUnix, at a lower cost.
func receiveOnce(fd uintptr, p []byte) (int, error) {
	n, err := backend.Recv(int(fd), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// sendOnce is sendByUnix, at a lower cost.
func sendOnce(fd uintptr, bufs [][]byte) (int, error) { return backend.SendVector(int(fd), bufs) }
