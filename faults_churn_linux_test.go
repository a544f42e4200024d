package tandem_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// churn has connections come and go for a while, some of them reset in the middle, and checks every byte that is echoed,
// that the figures add up, and that no descriptor is left.
func churn(t *testing.T, o tandem.Options, d time.Duration) {
	files := openFiles()
	o.Loops = 2
	tr := openOrSkip(t, &o)
	l, err := tr.Listen("tcp", "127.0.0.1:0", answerer{}, nil)
	require.NoError(t, err)
	var clients sync.WaitGroup
	end := time.Now().Add(d)
	for i := range 16 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for first := true; first || time.Now().Before(end); first = false {
				if !visit(t, l.Addr().String(), r) {
					return
				}
			}
		}()
	}
	clients.Wait()
	require.NoError(t, l.Close())
	becomes(t, func() bool { return tr.Stats().Streams == 0 }, "no stream")
	require.NoError(t, tr.Close())
	s := tr.Stats()
	assert.Equal(t, s.Opened, s.Closed, "%+v", s)
	assert.Equal(t, s.BytesIn, s.BytesDelivered+s.BytesDropped, "%+v", s)
	becomes(t, func() bool { return openFiles() <= files+2 }, "%d descriptors", files) // Go's poller has two
}

// visit connects, sends, and reads the echo to its end, or resets the connection instead.
func visit(t *testing.T, addr string, r *rand.Rand) bool {
	c, err := net.Dial("tcp", addr)
	if !assert.NoError(t, err) {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	p := make([]byte, 1+r.IntN(100_000))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(p)
		_ = c.(*net.TCPConn).CloseWrite()
		sent <- err
	}()
	if r.IntN(4) == 0 {
		_, _ = c.Read(make([]byte, 1+r.IntN(1000)))
		_ = c.(*net.TCPConn).SetLinger(0)
		return true
	}
	got, err := io.ReadAll(c)
	return assert.NoError(t, err, "read") && assert.NoError(t, <-sent, "write") && assert.True(t, bytes.Equal(p, got), "WRONG BYTES")
}
