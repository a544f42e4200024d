//go:build linux

package tandem_test

import (
	"fmt"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// BenchmarkEcho is a message received and answered inside OnData, with a client in the same process that makes system
// calls and nothing else. What is allocated is the server's: nothing.
func BenchmarkEcho(b *testing.B) {
	for _, on := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		for _, size := range []int{64, 1 << 10, 16 << 10} {
			b.Run(fmt.Sprintf("%v/%d", on, size), func(b *testing.B) { benchmarkEcho(b, on, size) })
		}
	}
}

func benchmarkEcho(b *testing.B, on tandem.Backend, size int) {
	t, err := tandem.Open(&tandem.Options{Backend: on, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Skipf("NOT MEASURED: %v", err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "127.0.0.1:0", answering{}, nil)
	require.NoError(b, err)
	fd := connectTo(b, l.Addr().(*net.TCPAddr))
	message := make([]byte, size)
	exchange := func() {
		if n, err := unix.Write(fd, message); n != size || err != nil {
			b.Fatalf("wrote %d bytes: %v", n, err)
		}
		for left := size; left > 0; {
			n, err := unix.Read(fd, message[size-left:])
			if n <= 0 && err != unix.EINTR {
				b.Fatalf("read %d bytes: %v", n, err)
			}
			left -= max(n, 0)
		}
	}
	for range 100 {
		exchange()
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		exchange()
	}
}

// connectTo returns a blocking socket, which is closed with the benchmark.
func connectTo(b *testing.B, a *net.TCPAddr) int {
	b.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(b, err)
	b.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(b, unix.Connect(fd, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}))
	require.NoError(b, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	return fd
}
