package tandem_test

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// transfer is a connection on which a peer sends the pattern, and compares what comes back.
type transfer struct {
	conn net.Conn
	size int64
	slow atomic.Bool // it reads slowly, and then so slowly that it does not get to the end
	read atomic.Int64
	done chan error
}

// begin sends and reads, slowly at first.
func begin(c net.Conn, size int64) *transfer {
	x := &transfer{conn: c, size: size, done: make(chan error, 1)}
	x.slow.Store(true)
	_ = c.SetDeadline(time.Now().Add(4 * patience))
	go func() { _ = sendPattern(c, 0, size) }() // reading says why it ends
	go func() { x.done <- x.compare() }()
	return x
}

func (x *transfer) compare() error {
	for b := make([]byte, 64<<10); x.read.Load() < x.size; {
		most, pause := len(b), time.Millisecond
		if x.slow.Load() && x.read.Load() > x.size/2 {
			most, pause = 4<<10, 20*time.Millisecond
		}
		n, err := x.conn.Read(b[:most])
		at := x.read.Load()
		if !matches(at, b[:n]) {
			return fmt.Errorf("WRONG BYTES behind %d", at)
		}
		x.read.Add(int64(n))
		if err != nil {
			return fmt.Errorf("behind %d of %d bytes: %w", x.read.Load(), x.size, err)
		}
		if x.slow.Load() {
			time.Sleep(pause)
		}
	}
	return nil
}

// end waits for as long as bytes come.
func (x *transfer) end(t *testing.T) error {
	t.Helper()
	for before := int64(-1); ; {
		select {
		case err := <-x.done:
			return err
		case <-time.After(patience / 2):
		}
		now := x.read.Load()
		require.NotEqual(t, before, now, "of %d bytes so many have come, and no more within %v", x.size, patience/2)
		before = now
	}
}

// disturb has two echoes of a Transport transfer bytes, one over an accepted connection and one over a dialled one,
// and in the middle a fault. All bytes must come back.
func disturb(t *testing.T, b tandem.Backend, size int64, connect func() (near net.Listener, far func(address string) net.Conn), fault func()) {
	files := openFiles()
	o := silent(b)
	tr, err := tandem.Open(&o)
	require.NoError(t, err)
	l, err := tr.Listen("tcp", nearAddress, echoHandler{}, nil)
	require.NoError(t, err)
	listener, dial := connect()
	both := []*transfer{begin(dial(l.Addr().String()), size)}
	s, err := tr.Dial(t.Context(), "tcp", listener.Addr().String(), echoHandler{}, nil)
	require.NoError(t, err)
	accepted, err := listener.Accept()
	require.NoError(t, err)
	both = append(both, begin(accepted, size))
	for _, x := range both {
		becomes(t, func() bool { return x.read.Load() > size/16 }, "the beginning of a transfer")
	}
	fault()
	for i, x := range both {
		assert.Less(t, x.read.Load(), x.size, "bytes read by transfer %d when the fault was over", i)
		x.slow.Store(false)
	}
	for i, x := range both {
		assert.NoError(t, x.end(t), "transfer %d", i)
		_ = x.conn.Close()
	}
	_ = listener.Close()
	becomes(t, func() bool { return tr.Stats().Streams == 0 }, "the end of both streams")
	assert.ErrorIs(t, s.Close(), nil)
	nothingLeft(t, tr, files)
}

// nearAddress is any port of all addresses.
const nearAddress = "0.0.0.0:0"

// wireFaults are what happens to a wire in the middle of a transfer.
var wireFaults = map[string]func(*wire){
	"link down": func(w *wire) {
		w.link(w.near, "down")
		time.Sleep(during)
		w.link(w.near, "up")
	},
	"peer's link down": func(w *wire) {
		w.link(w.far, "down")
		time.Sleep(during)
		w.link(w.far, "up")
	},
	"drop what is sent": func(w *wire) {
		undo := w.filter("input", "meta l4proto tcp counter drop")
		time.Sleep(during)
		undo()
	},
	"drop what comes": func(w *wire) {
		undo := w.filter("output", "meta l4proto tcp counter drop")
		time.Sleep(during)
		undo()
	},
	"lower MTU": func(w *wire) {
		w.link(w.near, "mtu", "600")
		w.link(w.far, "mtu", "600")
	},
}

// TestFaultOnTheWire breaks a network of its own in the middle of transfers, and mends it: all bytes arrive.
func TestFaultOnTheWire(t *testing.T) {
	t.Parallel()
	asRoot(t)
	for name, fault := range wireFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults(t, process{network: true}, func(t *testing.T, b tandem.Backend) {
				w := newWire(t)
				connect := func() (net.Listener, func(string) net.Conn) {
					return w.listen(), func(address string) net.Conn { return w.dial(to(nearIP, address)) }
				}
				disturb(t, b, 8<<20, connect, func() { fault(w) })
			})
		})
	}
}

// to is the address with another host.
func to(host, address string) string {
	_, port, _ := net.SplitHostPort(address)
	return net.JoinHostPort(host, port)
}

// TestFaultLoss has nftables drop packets at random, in both directions, for as long as a transfer lasts.
func TestFaultLoss(t *testing.T) {
	t.Parallel()
	asRoot(t)
	faults(t, process{network: true}, func(t *testing.T, b tandem.Backend) {
		w := newWire(t)
		connect := func() (net.Listener, func(string) net.Conn) {
			return w.listen(), func(address string) net.Conn { return w.dial(to(nearIP, address)) }
		}
		var undo func()
		for _, at := range []func(...string) string{w.near, w.far} {
			w.link(at, "gso_max_segs", "1") // a packet is a segment
		}
		disturb(t, b, 1<<20, connect, func() {
			undo = w.filter("input", "meta l4proto tcp numgen random mod 100 < 3 counter drop")
		})
		undo()
	})
}
