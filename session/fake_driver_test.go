package session

import (
	"io"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// fakeDriver moves the bytes of a fakeKernel.
type fakeDriver struct {
	*fakeKernel
	sockets  []*fakeSocket
	released backend.Releases
	onAccept func(on bool)
}

var _ backend.Driver = (*fakeDriver)(nil)

func (d *fakeDriver) Start(*backend.Counters) error { return nil }
func (d *fakeDriver) Wake()                         {}
func (d *fakeDriver) Keep() func()                  { return nil }
func (d *fakeDriver) Features() []string            { return nil }

func (d *fakeDriver) Close() error {
	for _, f := range d.sockets {
		if f.driver == d {
			f.driver = nil
		}
	}
	return nil
}

func (d *fakeDriver) Attach(s *backend.Socket) error {
	if d.refuse != nil {
		return d.refuse
	}
	f := d.of(s.Descriptor)
	if f.driver != nil {
		panic("a descriptor is attached that a driver has not let go of")
	}
	f.sock, f.driver = s, d
	d.sockets = append(d.sockets, f)
	return nil
}

func (d *fakeDriver) Receive(s *backend.Socket, on bool) { d.of(s.Descriptor).receiving = on }

func (d *fakeDriver) Connect(s *backend.Socket) { d.of(s.Descriptor).connecting = true }

func (d *fakeDriver) Accept(s *backend.Socket, on bool) {
	d.of(s.Descriptor).accepting = on
	if d.onAccept != nil {
		d.onAccept(on)
	}
}

func (d *fakeDriver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	if f := d.of(s.Descriptor); f.later {
		if f.sending {
			panic("a Send, and the one before is not answered")
		}
		f.sending, f.lent = true, append([][]byte(nil), bufs...)
		return 0, backend.ErrPending
	}
	n, err := d.TrySendVector(s.Descriptor, bufs)
	if n == 0 && err == nil {
		d.of(s.Descriptor).sending = true
		return 0, backend.ErrPending
	}
	return n, err
}

func (d *fakeDriver) SendFiles(s *backend.Socket, bufs [][]byte, files []backend.Descriptor) (int, error) {
	n, err := d.TrySendFiles(s.Descriptor, bufs, files)
	if n == 0 && err == nil {
		d.of(s.Descriptor).sending = true
		return 0, backend.ErrPending
	}
	return n, err
}

func (d *fakeDriver) Release(s *backend.Socket) {
	f := d.of(s.Descriptor)
	f.sock, f.receiving, f.accepting, f.connecting, f.sending = nil, false, false, false, false
	d.released.Add(s)
}

func (d *fakeDriver) Outstanding() backend.Outstanding {
	return backend.Outstanding{Sockets: d.released.Len()}
}

// Poll reports, for each socket, what it was asked for and what has come. It never sleeps.
func (d *fakeDriver) Poll(time.Duration) (int, error) {
	for _, f := range d.sockets {
		if f.sock == nil && f.driver == d {
			f.driver = nil
		}
	}
	n := d.released.Report()
	for _, f := range d.sockets {
		if f.sock != nil && f.driver == d {
			n += d.report(f)
		}
	}
	return n, nil
}

func (d *fakeDriver) report(f *fakeSocket) int {
	switch owner := f.sock.Owner; {
	case f.connecting && f.answer != errPending:
		f.connecting = false
		owner.Connected(f.answer)
	case f.sending && (f.room > 0 || f.failure != nil):
		f.sending = false
		n, err := 0, error(nil)
		if f.lent != nil {
			n, err = d.TrySendVector(f.sock.Descriptor, f.lent)
			f.lent = nil
		}
		owner.Sent(n, err)
	case f.receiving && len(f.in) > 0:
		p := f.in
		f.in = nil
		owner.Received(p)
	case f.receiving && (f.eof || f.failure != nil):
		f.receiving = false
		if err := f.failure; err != nil {
			owner.ReceiveEnded(err)
		} else {
			owner.ReceiveEnded(io.EOF)
		}
	case f.accepting && len(f.backlog) > 0:
		next := f.backlog[0]
		f.backlog = f.backlog[1:]
		if err, failed := next.(error); failed {
			f.accepting = false
			owner.Accepted(backend.Descriptor{}, backend.Address{}, err)
		} else {
			owner.Accepted(next.(backend.Descriptor), backend.Address{}, nil)
		}
	case !f.receiving && f.failure != nil && f.room != 0:
		f.room = 0 // once
		owner.HungUp()
	default:
		return 0
	}
	return 1
}
