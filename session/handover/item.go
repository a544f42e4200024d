package handover

import (
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/tandem-io/tandem/session"
)

// Item is what Taker.Next returns: a *[Listener], a *[Conn] or a *[State]. It belongs to the caller, who closes it, unless
// Listen or Adopt has.
type Item interface {
	// Close closes the descriptors that the item still has. Further calls do nothing.
	Close() error

	attach(files []*os.File)
	fields() (h header, all [][]byte)
}

// Listener is a listener of the old process, with all its sockets.
type Listener struct {
	Name    string // that the old process gave it
	Network string // tcp, which also means MPTCP; unix or vsock
	Unlink  bool   // the end of the new listener has to remove the file of the Unix socket

	files
}

// Files are the listening sockets, at least one, which are the item's. After Close and Listen there are none.
func (l *Listener) Files() []*os.File { return l.list() }

// Options returns o, which may be nil, with FromAll set to the sockets. It is for those who listen by ListenConn; they close
// the item afterwards, and call SetUnlinkOnClose(Unlink), which the net.Listener of ListenConn has, too.
func (l *Listener) Options(o *session.ListenOptions) *session.ListenOptions {
	var mine session.ListenOptions
	if o != nil {
		mine = *o
	}
	mine.From, mine.FromAll = nil, nil
	for _, f := range l.list() {
		mine.FromAll = append(mine.FromAll, f)
	}
	return &mine
}

// Listen goes on listening: it is Listen of the Transport t with these sockets, and closes the item. o may be nil; From and
// FromAll are set. If it returns an error, the item stays as it is.
func (l *Listener) Listen(t interface {
	Listen(network, address string, h session.Handler, o *session.ListenOptions) (session.Listener, error)
}, h session.Handler, o *session.ListenOptions) (session.Listener, error) {
	ln, err := t.Listen(l.Network, "", h, l.Options(o))
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(l.Unlink)
	_ = l.Close()
	return ln, nil
}

// Conn is a connection of the old process. It goes to Adopt of a Transport, which makes a Stream of it, with all that is
// unread and unsent, and closes the item.
type Conn struct {
	Name  string // that the old process gave it
	State []byte // how far it is, as the old process has put it

	unread, unsent []byte
	flags          uint8
	files
}

var _ session.Carrier = (*Conn)(nil)

func newConn(name string, state, unread, unsent []byte, flags uint8) *Conn {
	return &Conn{Name: name, State: state, unread: unread, unsent: unsent, flags: flags}
}

// Carried implements [session.Carrier]. Who does not use Adopt has to read Unread before what the socket has, and to send
// Unsent before everything else.
func (c *Conn) Carried() session.Carried {
	return session.Carried{Unread: c.unread, Unsent: c.unsent, Shut: c.flags&flagShut != 0, Sent: c.flags&flagSent != 0}
}

// SyscallConn implements syscall.Conn. After Close the error is net.ErrClosed.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	f := c.File()
	if f == nil {
		return nil, net.ErrClosed
	}
	return f.SyscallConn()
}

// File is the socket, which is the item's, or nil after Close.
func (c *Conn) File() *os.File {
	if all := c.list(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// State is bytes of the old process's that belong to no connection.
type State struct {
	Name string // that the old process gave it
	Data []byte

	files
}

// files are the descriptors of an item.
type files struct {
	mu  sync.Mutex // guards all
	all []*os.File
}

// Close closes the descriptors that the item still has. Further calls do nothing.
func (f *files) Close() error {
	f.mu.Lock()
	all := f.all
	f.all = nil
	f.mu.Unlock()
	closeFiles(all)
	return nil
}

func (f *files) list() []*os.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all
}

func (f *files) attach(all []*os.File) { f.all = all }

func closeFiles(all []*os.File) {
	for _, f := range all {
		_ = f.Close()
	}
}

func (l *Listener) fields() (header, [][]byte) {
	h := header{kind: kindListener}
	if l.Unlink {
		h.flags = flagUnlink
	}
	return h, [][]byte{[]byte(l.Name), []byte(l.Network)}
}

func (c *Conn) fields() (header, [][]byte) {
	return header{kind: kindConn, flags: c.flags}, [][]byte{[]byte(c.Name), c.State, c.unread, c.unsent}
}

func (s *State) fields() (header, [][]byte) {
	return header{kind: kindState}, [][]byte{[]byte(s.Name), s.Data}
}
