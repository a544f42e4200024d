package session

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// errNoFunction is for a nil function where one has to be called later.
var errNoFunction = errors.New("tandem: the function to call is nil")

// errNoHandshake is for Detach of a stream in the handshake of StartTLS.
var errNoHandshake = fmt.Errorf("the TLS handshake is not done: %w", syscall.ENOTCONN)

// errTLSConn is for ListenConn and DialConn with a tls.Config, which would otherwise carry plain bytes.
var errTLSConn = fmt.Errorf("TLS is for streams; wrap the listener by tls.NewListener, or the Conn by tls.Client: %w", errors.ErrUnsupported)

// errFilesConn is for ListenConn and DialConn with ReceiveFiles.
var errFilesConn = fmt.Errorf("ReceiveFiles is for streams; receive from the Conn's SyscallConn: %w", errors.ErrUnsupported)

// errNotTold is for a WriteNotify of a detached stream whose Transport ends before it is known what became of the bytes.
var errNotTold = fmt.Errorf("tandem: the Transport has ended before the bytes were sent: %w", net.ErrClosed)
