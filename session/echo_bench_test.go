package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// echoDriver reports one message for each socket in each Poll, and takes all that is sent. It costs next to nothing, so that
// what is measured is the stream.
type echoDriver struct {
	fakeDriver
	message []byte
	sent    int
}

func (d *echoDriver) Poll(time.Duration) (int, error) {
	for _, f := range d.sockets {
		f.sock.Owner.Received(d.message)
	}
	return len(d.sockets), nil
}

func (d *echoDriver) Send(_ *backend.Socket, bufs [][]byte) (n int, err error) {
	return d.TrySendVector(backend.Descriptor{}, bufs)
}

// TrySendVector sends what the loop does not leave to the end of the turn.
func (d *echoDriver) TrySendVector(_ backend.Descriptor, bufs [][]byte) (n int, err error) {
	for _, b := range bufs {
		n += len(b)
	}
	d.sent += n
	return n, nil
}

type echoes struct{ BaseHandler }

func (echoes) OnData(s *Stream) {
	p, _ := s.Next(-1)
	_, _ = s.Write(p)
}

// BenchmarkEcho answers one message of 64 bytes on each stream in a turn. An operation is one message.
func BenchmarkEcho(b *testing.B) {
	for _, streams := range []int{1, 64, 1000, 10000} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			d := &echoDriver{fakeDriver: fakeDriver{fakeKernel: &fakeKernel{}}, message: make([]byte, 64)}
			e, err := New(Config{CallerDriven: true, Drivers: []backend.Driver{d}})
			require.NoError(b, err)
			l := e.loops[0]
			turn := func() {
				if _, err := l.Step(0); err != nil {
					b.Fatal(err)
				}
			}
			require.NoError(b, l.Bind())
			for range streams {
				_, err = e.Adopt(anyConn{}, echoes{})
				require.NoError(b, err)
			}
			for int(l.live.Load()) < streams {
				turn()
			}
			d.sent = 0
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += streams {
				turn()
			}
			b.StopTimer()
			require.GreaterOrEqual(b, d.sent, b.N*len(d.message), "bytes that were answered")
		})
	}
}
