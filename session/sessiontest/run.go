package sessiontest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/tandem-io/tandem/session/polled"
)

// patience is how long something that must happen may take, on the slowest machine.
const patience = time.Minute

// Run checks that Sessions of bytes keep their contract, a subtest for each rule. open returns both ends of a new
// connection; they may be Establishing. It is called once in each subtest, and sees to the end of what it opens.
//
// Where a Session keeps messages apart, each Write is one of at most 10,000 bytes.
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
				if err := s.Close(); err != nil && !errors.Is(err, io.ErrShortWrite) { // the rest of a test is not sent
					t.Errorf("%s: close: %v", s.name, err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("%s: close again: %v", s.name, err)
				}
			}
		})
	}
}

// ends are the two Sessions of one subtest.
type ends struct {
	*testing.T
	a, b *end
}

// end is a Session with what has gone through it.
type end struct {
	polled.Bytes
	name  string
	got   []byte
	todo  []byte // to be written
	piece []byte // of it, what was begun
	eof   bool
	stuck int // Pending answers
}

// until lives a duty cycle until done.
func (p *ends) until(what string, done func() bool, duties ...func() bool) {
	p.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		active := false
		for _, duty := range duties {
			active = duty() || active
		}
		if time.Now().After(deadline) {
			p.Fatalf("never: %s", what)
		}
		if !active {
			time.Sleep(20 * time.Microsecond) // the machine is for others, too
		}
	}
}

// drive is a duty: the end's own work.
func (p *ends) drive(s *end) func() bool {
	return func() bool {
		activity, err := s.Drive()
		if err != nil {
			p.Fatalf("%s: drive: %v", s.name, err)
		}
		return activity == polled.Active
	}
}

// read is a duty: to keep what comes.
func (p *ends) read(s *end) func() bool {
	return func() bool {
		data, status, err := s.Read()
		if err == io.EOF && status == polled.None {
			s.eof = true
			return false
		}
		if err != nil {
			p.Fatalf("%s: read: %v", s.name, err)
		}
		if status != polled.Data && len(data) > 0 {
			p.Fatalf("%s: %d bytes with %v", s.name, len(data), status)
		}
		s.got = append(s.got, data...)
		return status != polled.None
	}
}

// write is a duty: to pass on what is to be written, in pieces of any size.
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
		if err != nil {
			p.Fatalf("%s: write: %v", s.name, err)
		}
		before := len(s.piece)
		switch {
		case status == polled.Success:
			s.piece = nil
		case len(rest) == 0 || !bytes.HasSuffix(s.piece, rest):
			p.Fatalf("%s: Pending, and a rest of %d bytes that is not the rest of %d", s.name, len(rest), before)
		default:
			s.stuck++
			s.piece = rest
		}
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

// same fails the test if not all of want came.
func (p *ends) same(s *end, want []byte) {
	p.Helper()
	if !bytes.Equal(s.got, want) {
		p.Fatalf("%s read %d bytes that differ from the %d that were written", s.name, len(s.got), len(want))
	}
}

// noise is n bytes.
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
		if data, status, err := s.Read(); status != polled.None || err != nil || len(data) > 0 {
			p.Errorf("%s: Read while Establishing: %v, %v", s.name, status, err)
		}
		if rest, status, err := s.Write([]byte("x")); status != polled.Pending || err != nil || string(rest) != "x" {
			p.Errorf("%s: Write while Establishing: %v, %v", s.name, status, err)
		}
	}
	p.establish()
	if _, status, err := p.a.Write(nil); status != polled.Success || err != nil {
		p.Errorf("Write of nothing: %v, %v", status, err)
	}
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

// pending writes to an end that does not read, until nothing is taken any longer, and then reads.
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
		if wrote > most {
			p.Fatalf("%d bytes were taken although nobody reads", most)
		}
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
	if p.a.stuck == 0 {
		p.Error("never Pending, so nothing was tested")
	}
	read, all := p.read(p.b), 0
	p.until("all bytes", func() bool { return all >= wrote }, p.drive(p.a), p.drive(p.b), write, func() bool {
		p.b.got = p.b.got[:0]
		active := read()
		for got := p.b.got; len(got) > 0; {
			want := block[all%len(block):]
			n := min(len(got), len(want))
			if !bytes.Equal(got[:n], want[:n]) {
				p.Fatalf("bytes %d to %d differ", all, all+n)
			}
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
	if len(p.a.got)+len(p.b.got) > 0 {
		p.Error("bytes that nobody wrote")
	}
}

// lent looks at what Read has returned after everything else was done that does not read.
func lent(p *ends) {
	p.establish()
	want := noise(5000)
	p.a.todo = append([]byte(nil), want...)
	write := p.write(p.a)
	var data []byte
	p.until("the first bytes", func() bool { return len(data) > 0 }, p.drive(p.a), p.drive(p.b), write, func() bool {
		var err error
		if data, _, err = p.b.Read(); err != nil {
			p.Fatalf("read: %v", err)
		}
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
	if !bytes.Equal(data, before) {
		p.Error("what Read lent has changed before the next Read")
	}
	if !bytes.HasPrefix(want, before) {
		p.Error("the bytes differ")
	}
}

// notKept changes what was written as soon as Write has returned.
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
		if err != nil {
			p.Fatalf("write: %v", err)
		}
		if status == polled.Success {
			left = nil
		}
		clear(rest[:len(rest)-len(left)])
		rest = left
		return true
	})
	p.same(p.b, want)
}

// closes reads what was written before the Close, and then the end.
func closes(p *ends) {
	p.establish()
	want := noise(50_000)
	p.a.todo = want
	p.until("all bytes", func() bool { return len(p.b.got) >= len(want) }, p.drive(p.a), p.drive(p.b), p.write(p.a), p.read(p.b))
	if err := p.a.Close(); err != nil {
		p.Errorf("close: %v", err)
	}
	p.until("the end", func() bool { return p.b.eof }, p.drive(p.b), p.read(p.b))
	p.same(p.b, want)
	for range 2 {
		if _, status, err := p.b.Read(); err != io.EOF || status != polled.None {
			p.Errorf("Read behind the end: %v, %v", status, err)
		}
	}
	if s := p.a.Status(); s != polled.Terminated {
		p.Errorf("a closed Session is %v", s)
	}
	_, err := p.a.Drive()
	_, _, readErr := p.a.Read()
	_, written, writeErr := p.a.Write([]byte("x"))
	for what, err := range map[string]error{"Drive": err, "Read": readErr, "Write": writeErr, "Flush": p.a.Flush()} {
		if !errors.Is(err, net.ErrClosed) {
			p.Errorf("%s after Close: %v", what, err)
		}
	}
	if written != polled.Pending {
		p.Errorf("Write after Close: %v", written)
	}
}

func flushes(p *ends) {
	p.establish()
	want := noise(9000)
	p.a.todo = want
	flush := func() bool {
		if err := p.a.Flush(); err != nil {
			p.Fatalf("flush: %v", err)
		}
		return false
	}
	p.until("all bytes", func() bool { return len(p.b.got) >= len(want) },
		p.drive(p.a), p.drive(p.b), p.write(p.a), flush, p.read(p.b))
	p.same(p.b, want)
}
