//go:build linux

package uring

import (
	"math/bits"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// witness is a recorder that keeps all that is reported.
type witness struct {
	recorder
	sent      []int
	sentErr   error
	connected []error
	ends      int
	bytes     int // received, if recorder.received counts them
}

// Sent implements backend.Events.
func (o *witness) Sent(n int, err error) { o.sent, o.sentErr = append(o.sent, n), err }

// Connected implements backend.Events.
func (o *witness) Connected(err error) { o.connected = append(o.connected, err) }

// ReceiveEnded implements backend.Events.
func (o *witness) ReceiveEnded(err error) { o.ended = err; o.ends++ }

// attachFD makes a witness of a descriptor.
func attachFD(t *testing.T, d *Driver, fd int) *witness {
	t.Helper()
	o := &witness{}
	o.sock = backend.Socket{Descriptor: backend.NewDescriptor(fd), Owner: o}
	require.NoError(t, d.Attach(&o.sock))
	return o
}

// attachTCP connects a socket of the driver to a peer that has a deadline.
func attachTCP(t *testing.T, d *Driver) (*witness, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	fd := -1
	raw, err := l.(*net.TCPListener).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(listener uintptr) { fd, err = backend.Accept(int(listener)) }))
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(fd) })
	return attachFD(t, d, fd), c.(*net.TCPConn)
}

// inFlight is how many requests the state of a socket speaks of.
func inFlight(s *backend.Socket) int {
	return bits.OnesCount32(s.State & (armed | watched | sending | roomPolled | connecting))
}

// checkCounts fails if requests in flight are counted wrongly: too few, and a descriptor is closed that the kernel still
// uses; too many, and it never is.
func checkCounts(t *testing.T, d *Driver) {
	t.Helper()
	d.All(func(s *backend.Socket) {
		if n := inFlight(s); n != int(s.InFlight) {
			t.Fatalf("%d requests of a socket are counted, and %d are in flight: state %#x", s.InFlight, n, s.State)
		}
	})
}

// polls polls for a while and returns how often Poll returned.
func polls(t *testing.T, d *Driver, during time.Duration) (n int) {
	t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); n++ {
		_, err := d.Poll(time.Until(end))
		require.NoError(t, err)
	}
	return n
}

// sleeps polls once, without a limit but for that of the test, and returns how long that took.
func sleeps(t *testing.T, d *Driver) time.Duration {
	t.Helper()
	began := time.Now()
	_, err := d.Poll(patience)
	require.NoError(t, err)
	return time.Since(began)
}

func shut(t *testing.T, fd, how int) {
	t.Helper()
	require.NoError(t, unix.Shutdown(fd, how))
}

// patience is how long a completion that has to come may take.
const patience = 10 * time.Second

// refused ends a test that the kernel does not let run.
func refused(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("TANDEM_REQUIRE_URING") == "1" {
		t.Fatalf("TANDEM_REQUIRE_URING=1, but: %v", err)
	}
	t.Skipf("SKIPPED, NOTHING WAS TESTED: io_uring is refused here: %v", err)
}

// socketPair is a connected pair of stream sockets that lives as long as the test.
func socketPair(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	})
	return fds[0], fds[1]
}
