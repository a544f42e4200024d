package tandem_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// relay is one direction of a proxy: what comes on its stream goes to the other one, in the memory that it came in.
type relay struct {
	tandem.BaseHandler
	to *tandem.Stream
}

func (r *relay) OnData(s *tandem.Stream) {
	if r.to == nil {
		return // the other side is not dialled yet; ResumeRead will come back to these bytes
	}
	b, err := s.Take(-1)
	if err != nil {
		return
	}
	if r.to.WriteBuffer(b) != nil {
		b.Release()
	}
	if !r.to.Writable() { // the other side is slow: push back
		s.PauseRead()
	}
}

func (r *relay) OnEOF(*tandem.Stream) {
	if r.to != nil {
		_ = r.to.CloseWrite()
	}
}

func (r *relay) OnWritable(*tandem.Stream) { r.to.ResumeRead() }

func (r *relay) OnClose(_ *tandem.Stream, err error) {
	switch {
	case r.to == nil:
	case err != nil:
		_ = r.to.Abort()
	default:
		_ = r.to.Close()
	}
}

// proxy accepts, dials the target, and joins the two.
type proxy struct {
	tandem.BaseHandler
	transport tandem.Transport
	target    string
}

func (p proxy) OnOpen(s *tandem.Stream) {
	in, out := &relay{}, &relay{to: s}
	s.SetHandler(in)
	s.PauseRead()
	o := &tandem.DialOptions{StreamOptions: tandem.StreamOptions{AllowHalfClose: true}, Timeout: 5 * time.Second}
	to, err := p.transport.Connect("tcp", p.target, out, o)
	if err != nil {
		_ = s.Abort()
		return
	}
	in.to = to
	s.ResumeRead() // what is written before the dial is done waits in the queue
}

func listenProxy(t tandem.Transport, target string) (tandem.Listener, error) {
	o := &tandem.ListenOptions{StreamOptions: tandem.StreamOptions{AllowHalfClose: true}}
	return t.Listen("tcp", "127.0.0.1:0", proxy{transport: t, target: target}, o)
}

// A proxy that relays without copying: Take hands the received memory over, and WriteBuffer sends from it.
func Example_proxy() {
	t, err := tandem.Open(&tandem.Options{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer t.Close()
	target, _ := t.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil)
	l, err := listenProxy(t, target.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(c, "through the proxy and back")
	_ = c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	fmt.Println(string(answer))
	// Output: through the proxy and back
}

// TestProxyDoesNotCopy sends large messages through a proxy and counts what it copied of them.
func TestProxyDoesNotCopy(t *testing.T) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		o := &tandem.Options{Backend: b, Loops: 1, Logger: slog.New(slog.DiscardHandler)}
		servers, proxies := openOrSkip(t, o), openOrSkip(t, o)
		target, err := servers.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil)
		require.NoError(t, err)
		l, err := listenProxy(proxies, target.Addr().String())
		require.NoError(t, err)
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		want := randomBytes(rand.New(rand.NewPCG(1, 2)), 4<<20)
		go func() {
			_, _ = c.Write(want)
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Len(t, got, len(want))
		require.True(t, bytes.Equal(got, want), "wrong bytes came back")
		s := proxies.Stats()
		t.Logf("the proxy received %d bytes in %d pieces and copied %d", s.BytesIn, s.Reads, s.BytesCopied)
		assert.EqualValues(t, 2*len(want), s.BytesIn, "bytes that the proxy received")
		checkCopies(t, b, s)
	})
}

// checkCopies allows for pieces so small that a copy is cheaper than a buffer, and on io_uring for what came in a pause.
func checkCopies(t *testing.T, b tandem.Backend, s tandem.Stats) {
	t.Helper()
	assert.LessOrEqual(t, s.BytesCopied, s.BytesIn/4, "%v: bytes that were copied", b)
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}
