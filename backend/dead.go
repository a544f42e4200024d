package backend

import (
	"net"
	"time"
)

// deadDriver takes the place of a driver that has been closed, so that what ends after it needs no path of its own: it
// refuses sockets and bytes, and answers Release.
type deadDriver struct {
	Sockets  // of closed
	closed   Driver
	why      error // it was closed: what the loop has died of, or net.ErrClosed
	released Releases
}

var _ Driver = (*deadDriver)(nil)

// Start implements Driver.
func (*deadDriver) Start(*Counters) error { return net.ErrClosed }

// Poll implements Driver. It never sleeps.
func (d *deadDriver) Poll(time.Duration) (int, error) { return d.released.Report(), nil }

// Wake implements Driver.
func (*deadDriver) Wake() {}

// Attach implements Driver.
func (d *deadDriver) Attach(*Socket) error { return d.why }

// Receive implements Driver.
func (*deadDriver) Receive(*Socket, bool) {}

// Accept implements Driver.
func (*deadDriver) Accept(*Socket, bool) {}

// Connect implements Driver.
func (*deadDriver) Connect(*Socket) {}

// Send implements Driver.
func (d *deadDriver) Send(*Socket, [][]byte) (int, error) { return 0, d.why }

// SendFiles implements Driver.
func (d *deadDriver) SendFiles(*Socket, [][]byte, []Descriptor) (int, error) { return 0, d.why }

// Keep implements Driver.
func (*deadDriver) Keep() func() { return nil }

// Release implements Driver.
func (d *deadDriver) Release(s *Socket) { d.released.Add(s) }

// Features implements Driver.
func (*deadDriver) Features() []string { return nil }

// Outstanding implements Driver. What users have kept they still have.
func (d *deadDriver) Outstanding() Outstanding {
	return Outstanding{Sockets: d.released.Len(), Buffers: d.closed.Outstanding().Buffers}
}

// Close implements Driver.
func (*deadDriver) Close() error { return nil }
