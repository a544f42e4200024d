package backendtest

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// bystanders is a Transport of one loop with streams that have nothing to do with a rule, and are there while it runs.
type bystanders struct {
	t     *session.Engine
	base  session.Stats // when only the bystanders were there
	bulk  bool
	idle  []int      // descriptors of the idle streams' peers
	peers []net.Conn // of the bulk streams
	busy  sync.WaitGroup
}

// How many streams a rule runs beside.
const (
	idleBeside = 4000
	bulkBeside = 50
)

// besideRules are the rules that run once more beside others: about beginning, pausing and ending.
var besideRules = []string{
	"S02_", "S05_", "S14_", "S15_", "S16_", "S17_", "S18_", "S26_Connect", "S26_Dial", "S26_ManyDials", "S26_CloseBefore",
	"S26_Refused", "S28_", "S29_", "S30_Detach", "Combine_",
}

// besideOf returns the rules that run beside bystanders.
func besideOf(all []Rule) []Rule {
	return keepIf(all, func(r Rule) bool {
		for _, prefix := range besideRules {
			if strings.HasPrefix(r.Name, prefix) {
				return true
			}
		}
		return false
	})
}

// discards is the handler of the bystanders' streams.
type discards struct{ session.BaseHandler }

// OnData implements session.Handler.
func (discards) OnData(s *session.Stream) { _, _ = s.Discard(-1) }

// newBystanders opens a Transport with idle streams, and with bulk streams, which receive all the time.
func newBystanders(drivers Drivers, idle, bulk int) (*bystanders, error) {
	if err := roomFor(2*idle + 2*bulk + 500); err != nil {
		return nil, err
	}
	t, err := start(drivers, Options{Need: Need{Loops: 1}})
	if err != nil {
		return nil, err
	}
	b := &bystanders{t: t, bulk: bulk > 0}
	if err := b.gather(idle, bulk); err != nil {
		_ = b.close()
		return nil, err
	}
	return b, nil
}

func (b *bystanders) gather(idle, bulk int) error {
	l, err := b.t.Listen("tcp", "127.0.0.1:0", discards{}, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	for len(b.idle) < idle {
		fd, err := connectRaw(l.Addr().(*net.TCPAddr))
		if err != nil {
			return fmt.Errorf("connect stream %d: %w", len(b.idle), err)
		}
		b.idle = append(b.idle, fd)
		if n := len(b.idle); n%200 == 0 && !waitFor(func() bool { return b.t.Stats().Streams >= n-400 }) {
			return fmt.Errorf("%d of %d streams were accepted", b.t.Stats().Streams, n)
		}
	}
	for range bulk {
		p, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		b.peers = append(b.peers, p)
	}
	if !waitFor(func() bool { return b.t.Stats().Streams == idle+bulk }) {
		return fmt.Errorf("%d of %d streams were accepted", b.t.Stats().Streams, idle+bulk)
	}
	if err := l.Close(); err != nil {
		return err
	}
	for _, p := range b.peers {
		b.busy.Go(func() {
			for err := error(nil); err == nil; {
				_, err = p.Write(pattern()[:64<<10])
			}
		})
	}
	return b.rest(idle + bulk)
}

// rest waits until only the bystanders are there, and remembers the figures.
func (b *bystanders) rest(n int) error {
	var last session.Stats
	if !waitFor(func() bool {
		before := last
		last = b.t.Stats()
		time.Sleep(moment / 3)
		return last.Sockets == n && (b.bulk || last.Requests == before.Requests)
	}) {
		return fmt.Errorf("there are %d sockets, not %d", last.Sockets, n)
	}
	b.base = b.t.Stats()
	return nil
}

// close ends everything.
func (b *bystanders) close() error {
	for _, p := range b.peers {
		_ = p.Close()
	}
	b.busy.Wait()
	err := b.t.Close()
	b.leave()
	return err
}

// leave closes the peers of all idle streams.
func (b *bystanders) leave() {
	for _, fd := range b.idle {
		closeRaw(fd)
	}
	b.idle = nil
}

// left returns a description of what a rule has left on the Transport that it shares with the bystanders, or "".
func (b *bystanders) left() string {
	var left []string
	if !waitAtMost(patience, func() bool {
		s := b.t.Stats()
		left = left[:0]
		for _, f := range []struct {
			what      string
			now, base int
		}{
			{"streams", s.Streams, b.base.Streams}, {"sockets", s.Sockets, b.base.Sockets},
			{"requests in flight", s.Requests, b.base.Requests}, {"buffers out", s.BuffersTaken, b.base.BuffersTaken},
			{"streams opened and not closed", int(s.Opened - s.Closed), int(b.base.Opened - b.base.Closed)},
			{"bytes unaccounted for", int(s.BytesIn - s.BytesDelivered - s.BytesDropped - s.TLSOverhead), 0},
		} {
			if b.bulk && (f.what == "requests in flight" || f.what == "bytes unaccounted for") {
				continue // they change all the time
			}
			if f.now != f.base {
				left = append(left, fmt.Sprintf("%d %s, not %d", f.now, f.what, f.base))
			}
		}
		return len(left) == 0
	}) {
		return strings.Join(left, ", ")
	}
	return ""
}

// others is the number of streams of a Transport that are not the rule's.
func (e *Env) others(t *session.Engine) int {
	if e.bystanders != nil && e.bystanders.t == t {
		return e.bystanders.base.Streams
	}
	return 0
}

// leaveBystanders ends what a rule has left open on the Transport that it shares, and looks for what is left then.
func (e *Env) leaveBystanders() {
	e.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.hooks {
		h.abortAll()
	}
	if left := e.bystanders.left(); left != "" {
		e.Errorf("left beside the others after %v: %s", patience, left)
		e.bystanders.base = e.bystanders.t.Stats() // the next rule is not to blame
	}
}

// runBeside runs the rules that are about beginning, pausing and ending beside bystanders.
func runBeside(t *testing.T, s Setup) {
	startPoller()
	before := takeCensus()
	idle, bulk := 0, 0
	if s.Beside == "idle" {
		idle = idleBeside
	} else {
		bulk = bulkBeside
	}
	b, err := newBystanders(s.Drivers, idle, bulk)
	require.NoError(t, err, "a Transport with %d idle and %d bulk streams", idle, bulk)
	for _, r := range besideOf(Rules()) {
		t.Run(r.Name, func(t *testing.T) {
			e := newEnv(t, s)
			e.bystanders, e.under = b, b.t
			e.runRule(r)
		})
	}
	assert.NoError(t, b.close(), "close the Transport")
	nothingAbove(t, s, before)
}
