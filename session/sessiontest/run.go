package sessiontest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session/polled"
)

// patience is the longest time that a test waits for something, on a slow machine.
const patience = time.Minute

// Run checks that Sessions of bytes keep their contract, in a subtest for each rule. open is called once in each subtest, and
// returns both ends of a new connection, which may be Establishing. It registers the cleanup of what it opens.
//
// A Session of messages has to take messages of up to 10,000 bytes: each Write is one.
func Run(t *testing.T, open func(t *testing.T) (a, b polled.Bytes)) {
	for _, rule := range []struct {
		name string
		test func(p *ends)
	}{
		{"Establishes", establishes},
		{"BytesInOrder", bytesInOrder},
		{"BothWaysAtOnce", bothWays},
		{"PendingIsNoError", pending},
		{"IdleWhenNothingHappens", idle},
		{"LentUntilTheNextRead", lent},
		{"NothingOfAWriteIsKept", notKept},
		{"CloseDeliversAndEnds", closes},
		{"FlushDoesNotWait", flushes},
	} {
		t.Run(rule.name, func(t *testing.T) {
			a, b := open(t)
			p := &ends{T: t, a: &end{name: "a", Bytes: a}, b: &end{name: "b", Bytes: b}}
			rule.test(p)
			for _, s := range []*end{p.a, p.b} {
				if err := s.Close(); !errors.Is(err, io.ErrShortWrite) { // the rest of a test is not sent
					assert.NoError(t, err, "%s: close", s.name)
				}
				assert.NoError(t, s.Close(), "%s: close again", s.name)
			}
		})
	}
}

// ends are the two Sessions of one subtest.
type ends struct {
	*testing.T
	a, b *end
}

// end is a Session with the bytes that went through it.
type end struct {
	polled.Bytes
	name  string
	got   []byte
	todo  []byte // bytes to be written after piece
	piece []byte // rest of the argument of the present Write
	eof   bool
	stuck int // number of Writes that were Pending
}

// until runs a duty cycle until done reports true.
func (p *ends) until(what string, done func() bool, duties ...func() bool) {
	p.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		active := false
		for _, duty := range duties {
			active = duty() || active
		}
		require.False(p, time.Now().After(deadline), "never: %s", what)
		if !active {
			time.Sleep(20 * time.Microsecond) // the machine is for others, too
		}
	}
}

// drive returns the duty of calling Drive.
func (p *ends) drive(s *end) func() bool {
	return func() bool {
		activity, err := s.Drive()
		require.NoError(p, err, "%s: drive", s.name)
		return activity == polled.Active
	}
}

// read returns the duty of reading to got.
func (p *ends) read(s *end) func() bool {
	return func() bool {
		data, status, err := s.Read()
		if err == io.EOF && status == polled.None {
			s.eof = true
			return false
		}
		require.NoError(p, err, "%s: read", s.name)
		if status != polled.Data {
			require.Empty(p, data, "%s: bytes with %v", s.name, status)
		}
		s.got = append(s.got, data...)
		return status != polled.None
	}
}

// write returns the duty of writing todo, in pieces of any size.
func (p *ends) write(s *end) func() bool {
	return func() bool {
		if len(s.piece) == 0 {
			if len(s.todo) == 0 {
				return false
			}
			n := min(len(s.todo), 1+rand.IntN(10_000))
			s.piece, s.todo = s.todo[:n], s.todo[n:]
		}
		rest, status, err := s.Write(s.piece)
		require.NoError(p, err, "%s: write", s.name)
		before := len(s.piece)
		if status == polled.Success {
			s.piece = nil
			return true
		}
		require.NotEmpty(p, rest, "%s: Pending, without a rest", s.name)
		require.True(p, bytes.HasSuffix(s.piece, rest), "%s: %d bytes are not the rest of %d", s.name, len(rest), before)
		s.stuck++
		s.piece = rest
		return len(s.piece) < before
	}
}

// establish drives both ends until they are connected.
func (p *ends) establish() {
	p.Helper()
	p.until("both ends Established", func() bool {
		return p.a.Status() == polled.Established && p.b.Status() == polled.Established
	}, p.drive(p.a), p.drive(p.b))
}

// same fails the test if s has not read exactly want.
func (p *ends) same(s *end, want []byte) {
	p.Helper()
	require.True(p, bytes.Equal(want, s.got), "%s read %d bytes that differ from the %d that were written", s.name, len(s.got), len(want))
}

// noise returns n bytes.
func noise(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return p
}

func establishes(p *ends) {
	for _, s := range []*end{p.a, p.b} {
		if s.Status() != polled.Establishing {
			continue
		}
		data, status, err := s.Read()
		assert.NoError(p, err, "%s: Read while Establishing", s.name)
		assert.Equal(p, polled.None, status, "%s: Read while Establishing", s.name)
		assert.Empty(p, data, "%s: Read while Establishing", s.name)
		rest, written, err := s.Write([]byte("x"))
		assert.NoError(p, err, "%s: Write while Establishing", s.name)
		if written == polled.Success && s.Status() == polled.Established {
			continue // meanwhile
		}
		assert.Equal(p, polled.Pending, written, "%s: Write while Establishing", s.name)
		assert.Equal(p, "x", string(rest), "%s: Write while Establishing", s.name)
	}
	p.establish()
	_, status, err := p.a.Write(nil)
	assert.NoError(p, err, "Write of nothing")
	assert.Equal(p, polled.Success, status, "Write of nothing")
}

func bytesInOrder(p *ends) {
	p.establish()
	want := noise(1 << 20)
	p.a.todo = want
	p.until("all bytes", func() bool { return len(p.b.got) >= len(want) }, p.drive(p.a), p.drive(p.b), p.write(p.a), p.read(p.b))
	p.same(p.b, want)
}

func bothWays(p *ends) {
	p.establish()
	one, two := noise(300_000), noise(200_000)
	p.a.todo, p.b.todo = one, two
	p.until("all bytes, both ways", func() bool { return len(p.b.got) >= len(one) && len(p.a.got) >= len(two) },
		p.drive(p.a), p.drive(p.b), p.write(p.a), p.write(p.b), p.read(p.a), p.read(p.b))
	p.same(p.b, one)
	p.same(p.a, two)
}

// pending writes to an end that does not read, until nothing more is taken, and then reads.
func pending(p *ends) {
	p.establish()
	const most = 64 << 20
	block := noise(1 << 20)
	write := p.write(p.a)
	wrote := 0
	for quiet := 0; quiet < 200; {
		if len(p.a.todo) == 0 {
			p.a.todo = block
			wrote += len(block)
		}
		require.LessOrEqual(p, wrote, most, "bytes that were taken although nobody reads")
		active := write()
		for _, s := range []*end{p.a, p.b} {
			active = p.drive(s)() || active
		}
		if quiet++; active {
			quiet = 0
		} else {
			time.Sleep(20 * time.Microsecond)
		}
	}
	assert.NotZero(p, p.a.stuck, "never Pending, so nothing was tested")
	read, all := p.read(p.b), 0
	p.until("all bytes", func() bool { return all >= wrote }, p.drive(p.a), p.drive(p.b), write, func() bool {
		p.b.got = p.b.got[:0]
		active := read()
		for got := p.b.got; len(got) > 0; {
			want := block[all%len(block):]
			n := min(len(got), len(want))
			require.True(p, bytes.Equal(want[:n], got[:n]), "bytes %d to %d differ", all, all+n)
			got = got[n:]
			all += n
		}
		return active
	})
}

func idle(p *ends) {
	p.establish()
	quiet := 0
	p.until("Drive is Idle", func() bool { return quiet >= 50 }, func() bool {
		quiet++
		for _, s := range []*end{p.a, p.b} {
			if p.drive(s)() || p.read(s)() {
				quiet = 0
			}
		}
		return false
	})
	assert.Empty(p, p.a.got, "bytes that nobody wrote")
	assert.Empty(p, p.b.got, "bytes that nobody wrote")
}

// lent checks that the result of Read stays the same while everything but Read is called.
func lent(p *ends) {
	p.establish()
	want := noise(5000)
	p.a.todo = append([]byte(nil), want...)
	write := p.write(p.a)
	var data []byte
	p.until("the first bytes", func() bool { return len(data) > 0 }, p.drive(p.a), p.drive(p.b), write, func() bool {
		var err error
		data, _, err = p.b.Read()
		require.NoError(p, err, "read")
		return false
	})
	before := bytes.Clone(data)
	p.b.todo = noise(3000)
	back := p.write(p.b)
	p.a.todo = append(p.a.todo, noise(4000)...)
	for range 50 {
		write()
		back()
		p.drive(p.a)()
		p.drive(p.b)()
		_ = p.b.Flush()
	}
	assert.True(p, bytes.Equal(before, data), "what Read returned has changed before the next Read")
	assert.True(p, bytes.HasPrefix(want, before), "the bytes differ")
}

// notKept overwrites the argument of Write as soon as Write has returned.
func notKept(p *ends) {
	p.establish()
	want := noise(100_000)
	sent := 0
	scratch := make([]byte, 1000)
	var rest []byte
	p.until("all bytes", func() bool { return len(p.b.got) >= len(want) }, p.drive(p.a), p.drive(p.b), p.read(p.b), func() bool {
		if len(rest) == 0 {
			if sent == len(want) {
				return false
			}
			rest = scratch[:copy(scratch, want[sent:])]
			sent += len(rest)
		}
		left, status, err := p.a.Write(rest)
		require.NoError(p, err, "write")
		if status == polled.Success {
			left = nil
		}
		clear(rest[:len(rest)-len(left)])
		rest = left
		return true
	})
	p.same(p.b, want)
}

// closes checks that the peer reads what was written before Close, and then the end.
func closes(p *ends) {
	p.establish()
	want := noise(50_000)
	p.a.todo = want
	p.until("all bytes", func() bool { return len(p.b.got) >= len(want) }, p.drive(p.a), p.drive(p.b), p.write(p.a), p.read(p.b))
	assert.NoError(p, p.a.Close(), "close")
	p.until("the end", func() bool { return p.b.eof }, p.drive(p.b), p.read(p.b))
	p.same(p.b, want)
	for range 2 {
		_, status, err := p.b.Read()
		assert.Equal(p, io.EOF, err, "Read behind the end")
		assert.Equal(p, polled.None, status, "Read behind the end")
	}
	assert.Equal(p, polled.Terminated, p.a.Status(), "a closed Session")
	_, err := p.a.Drive()
	_, _, readErr := p.a.Read()
	_, written, writeErr := p.a.Write([]byte("x"))
	for what, err := range map[string]error{"Drive": err, "Read": readErr, "Write": writeErr, "Flush": p.a.Flush()} {
		assert.ErrorIs(p, err, net.ErrClosed, "%s after Close", what)
	}
	assert.Equal(p, polled.Pending, written, "Write after Close")
}

func flushes(p *ends) {
	p.establish()
	want := noise(9000)
	p.a.todo = want
	flush := func() bool {
		require.NoError(p, p.a.Flush(), "flush")
		return false
	}
	p.until("all bytes", func() bool { return len(p.b.got) >= len(want) },
		p.drive(p.a), p.drive(p.b), p.write(p.a), flush, p.read(p.b))
	p.same(p.b, want)
}
