package handover

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Taker is the new process's end of a conversation. Next is for one goroutine at a time; Close is for any.
type Taker struct {
	ch    *channel
	limit int
	err   error // of Next
	over  error // why nothing more is said: Next returns it behind what has become this process's already

	mu      sync.Mutex // guards what follows
	last    uint64     // number of the last item that has come
	pending map[uint64]arrived
	bytes   int // of these
	closed  bool
}

// arrived is an item that the new process has, and the old one has not given up yet.
type arrived struct {
	item Item
	size int
}

// NewTaker begins a conversation with the old process, at the other end of c. That begins to give as soon as NewTaker was
// called, and not before, so call it when the program is ready to serve. c is the Taker's from then on, and closed if there
// is an error. o may be nil. The error is a *[VersionError] if there is no common version, and io.ErrUnexpectedEOF if
// the old process has ended.
func NewTaker(ctx context.Context, c *net.UnixConn, o *Options) (*Taker, error) {
	ch, mine, _, err := begin(ctx, c, o, true)
	if err != nil {
		return nil, err
	}
	return &Taker{ch: ch, limit: mine.MaxMessage, pending: map[uint64]arrived{}}, nil
}

// Next waits for an item that has become this process's, in the order in which the old process has let go of them. It
// returns io.EOF when nothing more comes. After any error, also that of ctx, the conversation is over, and Next returns it
// again: the old process keeps what Next has not returned, if it is still there. So when ctx has ended, or the old process,
// Next first returns, without waiting, the items that the old process has let go of.
//
// An item that does not fit into this process, such as one for whose descriptors there is no room below RLIMIT_NOFILE, stays
// with the old process, which gets a *[RefusedError]. Next does not return for it.
func (t *Taker) Next(ctx context.Context) (Item, error) {
	for t.err == nil {
		item, err := t.hearNext(ctx)
		if err != nil {
			t.err = err
			if err != io.EOF {
				t.err = fmt.Errorf("handover: next item: %w", err)
			}
			_ = t.Close()
		}
		if item != nil {
			return item, nil
		}
	}
	return nil, t.err
}

// hearNext waits for a message and handles it.
func (t *Taker) hearNext(ctx context.Context) (Item, error) {
	if t.over != nil {
		ctx = context.Background() // nothing has to be waited for
	}
	m, err := t.ch.receive(ctx, t.limit)
	if err == nil {
		item, err := t.hear(ctx, m)
		if err != nil && t.over != nil {
			err = t.over
		}
		return item, err
	}
	switch {
	case t.over != nil:
		return nil, t.over
	case err == io.EOF: // without END
		return nil, io.ErrUnexpectedEOF
	case ctx.Err() == nil || m.begun:
		return nil, err
	}
	t.sayNoMore(err)
	return nil, nil
}

// sayNoMore ends the conversation but for what the old process has said by now, so that nobody believes that the other one
// has an item: what it says later fails there, shutdown(2).
func (t *Taker) sayNoMore(why error) {
	t.over = why
	_ = t.ch.conn.CloseRead()
}

// Close ends the conversation. Items that Next has returned are not concerned; what is on its way stays with the old
// process. What that has let go of, and Next has not returned, is closed: Next with a context that has ended returns
// it, one by one. Further calls do nothing.
func (t *Taker) Close() error {
	t.ch.close() // first, so that a Next that is sending returns
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for number := range t.pending {
		t.dropLocked(number)
	}
	return nil
}

// hear handles a message. It returns an item that has become this process's, and io.EOF when nothing more comes.
func (t *Taker) hear(ctx context.Context, m received) (Item, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		closeFiles(m.files)
		return nil, net.ErrClosed
	}
	switch m.kind {
	case kindListener, kindConn, kindState:
		return nil, t.arriveLocked(ctx, m)
	case kindYours:
		one, ok := t.pending[m.number]
		if !ok {
			return nil, malformed("YOURS for item %d, which is not on its way", m.number)
		}
		t.forgetLocked(m.number)
		return one.item, nil
	case kindKept:
		if m.number > t.last {
			return nil, malformed("KEPT for item %d of %d", m.number, t.last)
		}
		t.dropLocked(m.number) // if it was not refused
		return nil, nil
	case kindEnd:
		if len(t.pending) > 0 {
			return nil, malformed("END, and %d items are on their way", len(t.pending))
		}
		if t.over != nil {
			return nil, t.over
		}
		if _, err := t.ch.send(ctx, header{kind: kindEnd}, nil, nil); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	closeFiles(m.files)
	return nil, malformed("a message of kind %d to the new process", m.kind)
}

// arriveLocked holds an item until the old process has let go of it, or refuses it. mu is held.
func (t *Taker) arriveLocked(ctx context.Context, m received) error {
	item, err := decodeItem(m.header, m.payload)
	switch {
	case err != nil:
	case m.number != t.last+1:
		err = malformed("item %d behind item %d", m.number, t.last)
	case len(t.pending) >= window || t.bytes+m.length > t.limit:
		err = malformed("more items on their way than were allowed")
	}
	if err != nil {
		closeFiles(m.files)
		return err
	}
	t.last = m.number
	if t.over != nil {
		closeFiles(m.files)
		return nil
	}
	if refused := refusal(m); refused != nil {
		closeFiles(m.files)
		p := refused.encode()
		t.say(ctx, header{kind: kindRefused, number: m.number, length: len(p)}, p)
		return nil
	}
	item.attach(m.files)
	t.pending[m.number] = arrived{item, m.length}
	t.bytes += m.length
	t.say(ctx, header{kind: kindTaken, number: m.number}, nil)
	return nil
}

// refusal is why an item cannot be taken, or nil.
func refusal(m received) *RefusedError {
	if len(m.files) < m.header.files {
		return &RefusedError{unix.EMFILE, fmt.Sprintf("%d of %d descriptors have room below its RLIMIT_NOFILE", len(m.files), m.header.files)}
	}
	for _, f := range m.files {
		if errno := checkSocket(f, m.kind == kindListener); errno != 0 {
			return &RefusedError{errno, "it is no stream socket of that kind"}
		}
	}
	return nil
}

// checkSocket checks that f is a stream socket, and listens or does not.
func checkSocket(f *os.File, listens bool) (errno unix.Errno) {
	raw, err := f.SyscallConn()
	if err != nil {
		return unix.EBADF
	}
	_ = raw.Control(func(fd uintptr) {
		kind, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
		accepts, aerr := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		switch {
		case err != nil || aerr != nil:
			errno = unix.ENOTSOCK
		case kind != unix.SOCK_STREAM || (accepts != 0) != listens:
			errno = unix.EINVAL
		}
	})
	return errno
}

// say answers an item. If it cannot, nothing more is said.
func (t *Taker) say(ctx context.Context, h header, payload []byte) {
	if _, err := t.ch.send(ctx, h, nil, payload); err != nil {
		t.sayNoMore(err)
	}
}

// forgetLocked takes an item off the list of those that are on their way. mu is held.
func (t *Taker) forgetLocked(number uint64) {
	t.bytes -= t.pending[number].size
	delete(t.pending, number)
}

// dropLocked closes an item that the old process keeps. mu is held.
func (t *Taker) dropLocked(number uint64) {
	if one, ok := t.pending[number]; ok {
		t.forgetLocked(number)
		_ = one.item.Close()
	}
}
