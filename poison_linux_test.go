package tandem_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/drivertest"
	"github.com/tandem-io/tandem/frame"
)

// A message of TestPoisonedMessages, in little-endian order:
//
//	| payload's length | number | its sum | payload |
//	| u32              | u32    | u32     |         |
//
// The sum is the CRC-32C of everything else.
const messageHeader = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func messageSum(m []byte) uint32 {
	return crc32.Update(crc32.Checksum(m[:8], castagnoli), castagnoli, m[messageHeader:])
}

// messages is their codec, whose messages are whole.
var messages = func() frame.Codec[[]byte] {
	c, err := frame.NewLengthField(frame.LengthFieldOptions{LittleEndian: true, Adjustment: messageHeader - 4})
	if err != nil {
		panic(err)
	}
	return c
}()

// noise is what payloads are cut from.
var noise = randomBytes(rand.New(rand.NewPCG(1, 2)), 1<<18)

// appendMessage appends a message with that number. Most are small, and some are larger than a receive buffer.
func appendMessage(p []byte, number uint32, r *rand.Rand) []byte {
	size := r.IntN(100)
	switch k := r.IntN(4000); {
	case k < 1:
		size = r.IntN(100_000)
	case k < 40:
		size = r.IntN(4000)
	}
	at := len(p)
	p = binary.LittleEndian.AppendUint32(p, uint32(size))
	p = binary.LittleEndian.AppendUint32(p, number)
	from := r.IntN(len(noise) - size)
	p = append(append(p, 0, 0, 0, 0), noise[from:from+size]...)
	binary.LittleEndian.PutUint32(p[at+8:], messageSum(p[at:]))
	return p
}

// verifier checks the messages of one direction of a stream, which come in pieces.
type verifier struct {
	next uint32 // number of the next message
	part []byte // of a message that is not complete
}

// check looks at every byte of a piece, and returns how many messages were completed.
func (v *verifier) check(p []byte) (n int, err error) {
	if len(v.part) > 0 {
		v.part = append(v.part, p...)
		p = v.part
	}
	for len(p) >= messageHeader {
		size := messageHeader + int(binary.LittleEndian.Uint32(p))
		if size > messageHeader+100_000 {
			return n, fmt.Errorf("message %d: a length of %d", v.next, size)
		}
		if len(p) < size {
			break
		}
		if err := v.whole(p[:size]); err != nil {
			return n, err
		}
		p = p[size:]
		n++
	}
	v.part = append(v.part[:0], p...)
	return n, nil
}

// whole checks one message.
func (v *verifier) whole(m []byte) error {
	number, sum := binary.LittleEndian.Uint32(m[4:]), binary.LittleEndian.Uint32(m[8:])
	if number != v.next || sum != messageSum(m) {
		return fmt.Errorf("message %d has number %d, sum %#x and not %#x; it begins %x", v.next, number, sum, messageSum(m), m[:min(len(m), 32)])
	}
	v.next++
	return nil
}

// traffic is a Transport that sends messages to itself, and checks them at both ends.
type traffic struct {
	t         *testing.T
	transport tandem.Transport
	addrs     []string
	left      atomic.Int64 // messages to be sent
	most      int          // on one stream, and 100
	until     time.Time    // when to stop, whatever is left; zero: never
	clients   atomic.Int64 // streams that are to end
	done      chan struct{}

	sent     atomic.Int64
	echoed   atomic.Int64 // that came back
	received atomic.Int64 // that a server has seen
	bytes    atomic.Int64 // checked, at both ends
	wrong    atomic.Int64
	aborted  atomic.Int64
}

// verify checks a piece that has come on s, and resets s if it is wrong.
func (f *traffic) verify(s *tandem.Stream, v *verifier, p []byte, count *atomic.Int64) bool {
	f.bytes.Add(int64(len(p)))
	n, err := v.check(p)
	count.Add(int64(n))
	return f.good(s, err)
}

// late reports whether the time of -timeout is almost over.
func (f *traffic) late() bool { return !f.until.IsZero() && time.Now().After(f.until) }

func (f *traffic) good(s *tandem.Stream, err error) bool {
	if err == nil {
		return true
	}
	if f.wrong.Add(1) == 1 {
		assert.NoError(f.t, err, "WRONG BYTES on %v", s.LocalAddr())
	}
	_ = s.Abort()
	return false
}

// TestPoisonedMessages sends messages with checksums over many streams, reads and writes them in all ways that there are,
// while all memory is poisoned that is given back, and checks each byte at both ends. It sends some ten thousands on each
// backend, or TANDEM_MESSAGES, and fewer if the time of -timeout is almost over. Set TANDEM_POISON=1 for many.
func TestPoisonedMessages(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	most := 100_000
	if v := os.Getenv("TANDEM_MESSAGES"); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err, "TANDEM_MESSAGES")
		most = n
	}
	for name, c := range map[string]struct {
		o     tandem.Options
		share int // of most: one part in so many
	}{
		"epoll":      {tandem.Options{Backend: tandem.Epoll}, 1},
		"uring":      {tandem.Options{Backend: tandem.Uring}, 1},
		"uring-few":  {tandem.Options{Backend: tandem.Uring, Uring: tandem.UringOptions{Entries: 8, CompletionEntries: 16, Buffers: 4, BufferSize: 4096}}, 4},
		"uring-tiny": {tandem.Options{Backend: tandem.Uring, Uring: tandem.UringOptions{Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64}}, 40},
	} {
		t.Run(name, func(t *testing.T) { sendMessages(t, c.o, most/c.share) })
	}
}

func sendMessages(t *testing.T, o tandem.Options, n int) {
	o.Logger, o.Loops = slog.New(slog.DiscardHandler), 3
	transport, err := tandem.Open(&o)
	if err != nil && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	f := &traffic{t: t, transport: transport, most: min(1+n/64, 20_000), done: make(chan struct{})}
	if end, ok := t.Deadline(); ok {
		f.until = end.Add(-20 * time.Second)
	}
	f.left.Store(int64(n))
	f.listen()
	began, stop := time.Now(), make(chan struct{})
	go collectGarbage(stop)
	const slots = 48
	f.clients.Store(slots)
	for i := range uint64(slots) {
		f.connect(rand.New(rand.NewPCG(rand.Uint64(), i)))
	}
	f.await()
	close(stop)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, transport.Shutdown(ctx))
	st := transport.Stats()
	assert.Zero(t, f.wrong.Load(), "wrong messages")
	assert.Zero(t, st.BuffersTaken, "Buffers that nobody has released")
	t.Logf("%d messages came back, %d were sent, servers saw %d; %d MB checked, wrong %d; %d streams, %d of them aborted; %d ENOBUFS; %v",
		f.echoed.Load(), f.sent.Load(), f.received.Load(), f.bytes.Load()>>20, f.wrong.Load(), st.Opened, f.aborted.Load(), st.NoBuffers,
		time.Since(began).Round(time.Millisecond))
}

// await waits until all clients have ended, as long as messages move.
func (f *traffic) await() {
	f.t.Helper()
	for seen := int64(-1); ; seen = f.bytes.Load() {
		select {
		case <-f.done:
			return
		case <-time.After(20 * time.Second):
			require.NotEqual(f.t, seen, f.bytes.Load(), "nothing moves: %d messages of %d came back, %d clients", f.echoed.Load(), f.sent.Load(), f.clients.Load())
		}
	}
}

func collectGarbage(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
			runtime.GC()
		}
	}
}

// scribble changes what a write has given back.
func scribble(p []byte) {
	for i := range p {
		p[i] = 0xEE
	}
}

var _ io.Writer = writerFunc(nil)

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
