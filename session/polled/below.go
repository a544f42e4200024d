package polled

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/tandem-io/tandem/session"
)

// detacher is a Session that can return its connection as a net.Conn.
type detacher interface {
	// detachWith is Detach for the layer above: unread are bytes that the layer has received and its user has not read,
	// unsent are bytes that the layer has not sent. Both belong to the Conn from then on.
	detachWith(unread, unsent []byte) (net.Conn, error)
}

// encrypted is a Session that may know of TLS.
type encrypted interface {
	TLS() (session.TLSState, bool)
}

// tlsBelow returns what the Session below a layer knows of TLS.
func tlsBelow(below any) (session.TLSState, bool) {
	if e, ok := below.(encrypted); ok {
		return e.TLS()
	}
	return session.TLSState{}, false
}

// detachBelow detaches the Session below a layer, with the bytes that the layer holds.
func detachBelow(below any, unread, unsent []byte) (net.Conn, error) {
	d, ok := below.(detacher)
	if !ok {
		return nil, fmt.Errorf("polled: detach a %T: %w", below, errors.ErrUnsupported)
	}
	return d.detachWith(unread, unsent)
}

// closeBelow closes the Session below a layer, in stages if it supports that.
func closeBelow(below io.Closer) error {
	if c, ok := below.(interface{ CloseInStages() error }); ok {
		return c.CloseInStages()
	}
	return below.Close()
}
