package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// channel sends and receives messages with descriptors. One goroutine may send and one receive at a time.
type channel struct {
	conn *net.UnixConn
	oob  []byte // of the receiver
}

// past is a deadline that interrupts a call.
var past = time.Unix(1, 0)

// begin takes c over, and exchanges HELLO as the one who takes, or the one who gives.
func begin(ctx context.Context, c *net.UnixConn, o *Options, takes bool) (ch *channel, mine Options, theirs hello, err error) {
	if mine, err = o.complete(); err != nil {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
		return nil, mine, theirs, err
	}
	if ch, err = newChannel(c); err != nil {
		return nil, mine, theirs, err
	}
	say := hello{lowest: version, highest: version}
	if takes {
		say.items, say.bytes = window, uint32(mine.MaxMessage)
	}
	theirs, err = ch.greet(ctx, say)
	switch {
	case err != nil:
	case takes && theirs.items != 0:
		err = malformed("the other process is a Taker, too")
	case !takes && (theirs.items == 0 || theirs.bytes == 0):
		err = malformed("the other process is a Giver, too, or lets nothing come")
	}
	if err != nil {
		ch.close()
		return nil, mine, theirs, err
	}
	return ch, mine, theirs, nil
}

// newChannel takes a connection over, which must be one to a process of the same user, or of root.
func newChannel(c *net.UnixConn) (*channel, error) {
	if c == nil {
		return nil, errors.New("handover: the connection is nil")
	}
	ch := &channel{conn: c, oob: make([]byte, unix.CmsgSpace(maxFiles*4))}
	if err := ch.checkPeer(); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("handover: %w", err)
	}
	return ch, nil
}

// checkPeer refuses processes of other users: SO_PEERCRED, unix(7).
func (ch *channel) checkPeer() error {
	raw, err := ch.conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var kind int
	var cerr, kerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		kind, kerr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
	}); err != nil {
		return err
	}
	switch {
	case cerr != nil:
		return os.NewSyscallError("getsockopt", cerr)
	case kerr != nil:
		return os.NewSyscallError("getsockopt", kerr)
	case kind != unix.SOCK_STREAM:
		return fmt.Errorf("the connection is no stream socket: %w", unix.EPROTOTYPE)
	case cred.Uid != 0 && int(cred.Uid) != os.Geteuid():
		return fmt.Errorf("the other process runs for user %d: %w", cred.Uid, unix.EPERM)
	}
	return nil
}

func (ch *channel) close() { _ = ch.conn.Close() }

// within has the deadline that set sets pass when ctx ends. Whoever calls it calls stop afterwards.
func within(ctx context.Context, set func(time.Time) error) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	passed := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = set(past)
		close(passed)
	})
	return func() {
		if !cancel() {
			<-passed
			_ = set(time.Time{})
		}
	}
}

// cause is ctx's error in place of the passed deadline that it has set.
func cause(ctx context.Context, err error) error {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// send sends a message, with the descriptors of its header, which stay the caller's. If there is an error and it has begun,
// the conversation is over.
func (ch *channel) send(ctx context.Context, h header, fds []int, payload []byte) (begun bool, err error) {
	defer within(ctx, ch.conn.SetWriteDeadline)()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	first := h.encode()
	n, _, err := ch.conn.WriteMsgUnix(first, rights, nil)
	if err == nil && n < len(first) {
		_, err = ch.conn.Write(first[n:])
	}
	if err == nil && len(payload) > 0 {
		_, err = ch.conn.Write(payload)
	}
	return n > 0, cause(ctx, err)
}

// received is a message with its descriptors, which belong to whoever received it.
type received struct {
	header
	payload   []byte
	files     []*os.File
	begun     bool // a part of it has come
	truncated bool // the kernel has dropped descriptors, because there was no room for them in this process
}

// receive waits for a message of at most limit bytes. io.EOF is an end between two messages.
func (ch *channel) receive(ctx context.Context, limit int) (m received, err error) {
	defer within(ctx, ch.conn.SetReadDeadline)()
	defer func() {
		if err != nil {
			closeFiles(m.files)
			m.files = nil
			err = cause(ctx, err)
		}
	}()
	var first [headerSize]byte
	for n := 0; n < headerSize; {
		got, err := ch.receivePart(first[n:], &m)
		if err != nil {
			if err == io.EOF && n > 0 {
				err = io.ErrUnexpectedEOF
			}
			return m, err
		}
		n += got
		m.begun = true
	}
	if m.header, err = decodeHeader(first[:], limit); err != nil {
		return m, err
	}
	if len(m.files) > m.header.files || len(m.files) < m.header.files && !m.truncated {
		return m, malformed("%d descriptors came in place of %d", len(m.files), m.header.files)
	}
	m.payload, err = ch.receivePayload(m.length)
	return m, err
}

// receivePart receives some bytes of a header, and descriptors that come with them.
func (ch *channel) receivePart(p []byte, m *received) (int, error) {
	n, oobn, flags, _, err := ch.conn.ReadMsgUnix(p, ch.oob)
	if oobn > 0 {
		files, perr := parseRights(ch.oob[:oobn])
		m.files = append(m.files, files...)
		if err == nil {
			err = perr
		}
	}
	m.truncated = m.truncated || flags&unix.MSG_CTRUNC != 0
	if err == nil && n == 0 || errors.Is(err, io.EOF) { // package net wraps it here
		err = io.EOF
	}
	return n, err
}

// parseRights makes files of the descriptors in control messages. They are close-on-exec: MSG_CMSG_CLOEXEC, which package
// net sets. It returns all that there are, also with an error.
func parseRights(b []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return nil, malformed("control data: %v", err)
	}
	for _, m := range messages {
		fds, rerr := unix.ParseUnixRights(&m)
		if rerr != nil {
			err = malformed("control data of type %d", m.Header.Type)
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return files, err
}

// receivePayload receives as many bytes, and takes memory only as they come. Descriptors do not belong here: the kernel
// closes those for which there is no room in a read, unix(7).
func (ch *channel) receivePayload(length int) ([]byte, error) {
	const piece = 256 << 10
	var p []byte
	for len(p) < length {
		begin := len(p)
		p = append(p, make([]byte, min(piece, length-begin))...)
		if _, err := io.ReadFull(ch.conn, p[begin:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return p, nil
}

// greet exchanges HELLO.
func (ch *channel) greet(ctx context.Context, mine hello) (hello, error) {
	if _, err := ch.send(ctx, header{kind: kindHello, length: helloSize}, nil, mine.encode()); err != nil {
		return hello{}, fmt.Errorf("handover: say HELLO: %w", err)
	}
	m, err := ch.receive(ctx, 0)
	if err == nil && m.kind != kindHello {
		closeFiles(m.files)
		err = malformed("a message of kind %d in place of HELLO", m.kind)
	}
	var theirs hello
	if err == nil {
		theirs, err = decodeHello(m.payload)
	}
	if err == nil {
		err = theirs.agree()
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return hello{}, fmt.Errorf("handover: wait for HELLO: %w", err)
	}
	return theirs, nil
}
