package polled

import (
	"io"
	"net"
	"slices"

	"github.com/tandem-io/tandem/session"
)

// HandOver ends the session and returns the Session below, for another protocol on the same connection. No byte is lost:
// what was received and not decoded is read first, and messages in the write buffer are sent before anything else. The
// connection belongs to whoever has the returned Session: it is to be driven and closed, and the methods of this one return
// net.ErrClosed. The message that Read returned last stays valid.
//
// Bytes of an incomplete message that the Decoder has already consumed are lost, as with Detach.
func (f *MessageSession[R, W]) HandOver() (Bytes, error) {
	switch {
	case f.closed:
		return nil, net.ErrClosed
	case f.broken != nil:
		return nil, f.broken
	}
	r := &remainder{Bytes: f.inner, unread: slices.Clone(f.in.Bytes()), unsent: slices.Clone(f.out.bytes())}
	f.leave()
	return r, nil
}

// leave ends the session without its connection.
func (f *MessageSession[R, W]) leave() {
	f.in = new(session.MessageBuffer[R]) // the last message is in the memory of the old one
	f.out.drop()
	f.closed, f.end, f.broken = true, net.ErrClosed, net.ErrClosed
}

// remainder is a Session of bytes that another layer has used before, with what that has left.
type remainder struct {
	Bytes
	unread []byte // received and not read
	unsent []byte // to be sent first
}

// push sends what the layer before has left, as far as that is possible.
func (r *remainder) push() (moved bool, err error) {
	if len(r.unsent) == 0 || r.Bytes.Status() != Established {
		return false, nil
	}
	before := len(r.unsent)
	r.unsent, _, err = r.Bytes.Write(r.unsent)
	return len(r.unsent) < before, err
}

// Status implements Session.
func (r *remainder) Status() Status {
	if status := r.Bytes.Status(); status != Terminated || len(r.unread) == 0 {
		return status
	}
	return Established
}

// Drive implements Session.
func (r *remainder) Drive() (Activity, error) {
	activity, err := r.Bytes.Drive()
	if err != nil {
		if len(r.unread) > 0 {
			err = nil // Read returns the rest first, and then the error
		}
		return activity, err
	}
	moved, err := r.push()
	if moved {
		activity = Active
	}
	return activity, err
}

// Read implements Session.
func (r *remainder) Read() ([]byte, ReadStatus, error) {
	if p := r.unread; len(p) > 0 {
		r.unread = nil
		return p, Data, nil
	}
	return r.Bytes.Read()
}

// Write implements Session.
func (r *remainder) Write(p []byte) ([]byte, WriteStatus, error) {
	if _, err := r.push(); err != nil || len(r.unsent) > 0 {
		return p, Pending, err
	}
	return r.Bytes.Write(p)
}

// Flush implements Session.
func (r *remainder) Flush() error {
	if _, err := r.push(); err != nil {
		return err
	}
	return r.Bytes.Flush()
}

// Close implements Session.
func (r *remainder) Close() error { return r.closeBy(r.Bytes.Close) }

// CloseInStages is Close for a peer that may still be sending, if the Session below supports that.
func (r *remainder) CloseInStages() error {
	return r.closeBy(func() error { return closeBelow(r.Bytes) })
}

func (r *remainder) closeBy(end func() error) error {
	_, _ = r.push()
	lost := len(r.unsent) > 0
	r.unread, r.unsent = nil, nil
	if err := end(); err != nil || !lost {
		return err
	}
	return io.ErrShortWrite
}

// TLS returns what the Session below knows of TLS.
func (r *remainder) TLS() (session.TLSState, bool) { return tlsBelow(r.Bytes) }

// Detach returns the connection as a net.Conn.
func (r *remainder) Detach() (net.Conn, error) { return r.detachWith(nil, nil) }

// detachWith implements detacher.
func (r *remainder) detachWith(unread, unsent []byte) (net.Conn, error) {
	c, err := detachBelow(r.Bytes, slices.Concat(unread, r.unread), slices.Concat(r.unsent, unsent))
	if err == nil {
		r.unread, r.unsent = nil, nil
	}
	return c, err
}

var _ detacher = (*remainder)(nil)
