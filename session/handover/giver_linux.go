package handover

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

// Giver is the old process's end of a conversation. Any goroutine may call its methods, several at once: up to 32 items are
// on their way then, and no round trip has to be waited for between them. All methods block, for as long as their context
// lets them.
//
// An item for which a method returns an error has stayed here. If the error is that of the context or a *[RefusedError], the
// conversation goes on. After any other it is over, and Err returns why.
type Giver struct {
	ch     *channel
	limit  int           // bytes of one item, and of all that are on their way
	items  int           // that may be on their way
	turn   chan struct{} // has one element while somebody sends
	failed chan struct{} // closed with err
	reader sync.WaitGroup

	mu      sync.Mutex // guards what follows
	err     error
	last    uint64                 // number of the last item that was sent
	waiting map[uint64]chan answer // for TAKEN or REFUSED
	control []header               // to be sent by who sends next
	flying  int                    // items on their way
	bytes   int                    // of these
	landed  chan struct{}          // closed when fewer are
	ended   chan struct{}          // closed when the other process has said END
	over    bool                   // ended is closed
}

// answer is what the new process says to an item.
type answer struct{ refused *RefusedError } // nil: it has taken it

// NewGiver begins a conversation with the new process, at the other end of c, and waits until that is ready. c is the
// Giver's from then on, and closed if there is an error. o may be nil. The error is a *[VersionError] if there is no common
// version, and io.ErrUnexpectedEOF if the new process has ended.
func NewGiver(ctx context.Context, c *net.UnixConn, o *Options) (*Giver, error) {
	ch, mine, theirs, err := begin(ctx, c, o, false)
	if err != nil {
		return nil, err
	}
	g := &Giver{
		ch: ch, limit: min(mine.MaxMessage, int(min(theirs.bytes, 1<<30))), items: min(window, int(min(theirs.items, window))),
		turn: make(chan struct{}, 1), failed: make(chan struct{}), waiting: map[uint64]chan answer{},
		landed: make(chan struct{}), ended: make(chan struct{}),
	}
	g.reader.Go(g.read)
	return g, nil
}

// Err returns nil while the conversation goes on, and then why it ended: net.ErrClosed after Close and Finish.
func (g *Giver) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Listener gives a listener away, and closes it here when the new process has it. name, of at most 255 bytes, is for the new
// process to know it by. If it returns an error, the listener goes on as before; it then may be one that shares its socket,
// see [session.Listener].File. The listener of ListenConn is a session.Listener, too.
func (g *Giver) Listener(ctx context.Context, name string, l session.Listener) error {
	before := l.SetUnlinkOnClose(false)
	all, err := l.Files()
	if err != nil {
		l.SetUnlinkOnClose(before)
		return fmt.Errorf("handover: listener %q: %w", name, err)
	}
	defer closeFiles(all)
	fds, err := numbers(all)
	if err == nil {
		err = g.give(ctx, &Listener{Name: name, Network: networkOf(l), Unlink: before}, fds)
	}
	if err != nil {
		l.SetUnlinkOnClose(before)
		return fmt.Errorf("handover: listener %q: %w", name, err)
	}
	_ = l.Close() // an error says that a callback holds up the loop: what it has accepted is served later
	return nil
}

func networkOf(l session.Listener) string {
	switch network := l.Addr().Network(); network {
	case "unix", "vsock":
		return network
	}
	return "tcp"
}

// Conn gives a connection away, with state, and closes it here when the new process has it. c is what Detach of a stream has
// returned, with all that it holds, or a *net.TCPConn or *net.UnixConn, or one of ListenConn or DialConn. Nobody may use it
// meanwhile. If Conn returns an error, c goes on, and is the caller's, who gives it to Adopt, for example. A connection with
// TLS is errors.ErrUnsupported. Conn must not be called in a callback.
func (g *Giver) Conn(ctx context.Context, name string, c net.Conn, state []byte) error {
	return g.conn(ctx, c, func() (string, []byte) { return name, state })
}

// conn is Conn. describe is called when the connection is ready to leave.
func (g *Giver) conn(ctx context.Context, c net.Conn, describe func() (name string, state []byte)) error {
	held, settle, err := session.Leave(ctx, c)
	if err != nil {
		return fmt.Errorf("handover: connection: %w", err)
	}
	name, state := describe()
	item := newConn(name, state, held.Unread, held.Unsent, 0)
	if held.Shut {
		item.flags |= flagShut
	}
	if held.Sent {
		item.flags |= flagSent
	}
	fd, err := duplicate(c.(syscall.Conn))
	if err == nil {
		err = g.give(ctx, item, []int{fd})
		_ = unix.Close(fd)
	}
	settle(err == nil)
	if err != nil {
		return fmt.Errorf("handover: connection %q: %w", name, err)
	}
	return nil
}

// State gives bytes that belong to no connection.
func (g *Giver) State(ctx context.Context, name string, data []byte) error {
	if err := g.give(ctx, &State{Name: name, Data: data}, nil); err != nil {
		return fmt.Errorf("handover: state %q: %w", name, err)
	}
	return nil
}

// Finish says that nothing more comes, waits until the new process has seen that, and ends the conversation. All other calls
// must have returned.
func (g *Giver) Finish(ctx context.Context) error {
	defer g.Close()
	if err := g.say(ctx, header{kind: kindEnd}); err != nil {
		return fmt.Errorf("handover: finish: %w", err)
	}
	select {
	case <-g.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("handover: finish: %w", ctx.Err())
	case <-g.failed:
	}
	select {
	case <-g.ended:
		return nil
	default:
		return fmt.Errorf("handover: finish: %w", g.Err())
	}
}

// Close ends the conversation. What is on its way stays here. Further calls do nothing.
func (g *Giver) Close() error {
	g.fail(net.ErrClosed)
	g.reader.Wait()
	return nil
}

// fail ends the conversation. The first call decides what Err returns.
func (g *Giver) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
		close(g.failed)
		g.ch.close()
	}
}

// read handles what the new process says, until the conversation ends.
func (g *Giver) read() {
	for {
		m, err := g.ch.receive(context.Background(), 0)
		if err == nil {
			err = g.hear(m)
		}
		if err == io.EOF {
			err = fmt.Errorf("the new process has ended: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			g.fail(err)
			return
		}
	}
}

func (g *Giver) hear(m received) error {
	var a answer
	switch m.kind {
	case kindTaken:
	case kindRefused:
		refused, err := decodeRefused(m.payload)
		if err != nil {
			return err
		}
		a.refused = refused
	case kindEnd:
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.over {
			return malformed("END, twice")
		}
		g.over = true
		close(g.ended)
		return nil
	default:
		closeFiles(m.files)
		return malformed("a message of kind %d to the old process", m.kind)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.number > g.last {
		return malformed("an answer to item %d of %d", m.number, g.last)
	}
	if waiting, ok := g.waiting[m.number]; ok { // else the item has stayed here, and KEPT is on its way
		delete(g.waiting, m.number)
		waiting <- a
	}
	return nil
}

// numbers are the descriptors of files, which stay open for as long as the files do.
func numbers(all []*os.File) (fds []int, err error) {
	for _, f := range all {
		raw, err := f.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
		if err != nil {
			return nil, err
		}
	}
	return fds, nil
}

// duplicate returns another descriptor of a socket, which is close-on-exec.
func duplicate(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	own, derr := -1, error(nil)
	if err := raw.Control(func(fd uintptr) { own, derr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	return own, os.NewSyscallError("fcntl", derr)
}
