package difftest

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/tandem-io/tandem/session"
)

// trace is what happens on one stream.
type trace struct {
	mu       sync.Mutex
	step     int
	calls    []call
	results  []string          // of operations
	events   map[string]string // functions that were called: timers, posted ones, and those of WriteNotify
	seen     map[int]bool      // steps in which OnData was called of a handler that keeps bytes
	in       []byte            // what was delivered
	faults   []string          // what must not happen in any program
	buffered int
	writable int
	closed   bool
}

// call is a callback, bytes that were delivered by any number of them, or the beginning of a step.
type call struct {
	what string
	n    int
}

func newTrace() *trace { return &trace{events: map[string]string{}, seen: map[int]bool{}} }

// The names of functions that are called later.
func timerName(id int) string        { return fmt.Sprintf("timer %d", id) }
func notifyName(id int) string       { return fmt.Sprintf("notify %d", id) }
func postName(id int) string         { return fmt.Sprintf("post %d", id) }
func isTimer(name string) bool       { return strings.HasPrefix(name, "timer") }
func triggerName(k int) string       { return fmt.Sprintf("notify of step %d", k) }
func triggerID(k int) int            { return 1000 + k }
func stepName(k int) string          { return fmt.Sprintf("step %d", k) }
func handled(w string, g int) string { return fmt.Sprintf("%s of handler %d", w, g) }

// begin marks that a step begins.
func (t *trace) begin(k int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.step = k
	t.calls = append(t.calls, call{what: stepName(k)})
}

func (t *trace) called(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, call{what: what})
}

// delivered notes bytes that a handler was given. Piece boundaries mean nothing.
func (t *trace) delivered(generation int, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) == 0 {
		return
	}
	what := handled("data", generation)
	if last := len(t.calls) - 1; last >= 0 && t.calls[last].what == what {
		t.calls[last].n += len(p)
	} else {
		t.calls = append(t.calls, call{what, len(p)})
	}
	t.in = append(t.in, p...)
}

func (t *trace) sees() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen[t.step] = true
}

// result notes what an operation has returned.
func (t *trace) result(a action, n int, p []byte, err error) {
	what := classify(err)
	if a.Kind.isConns() && (what == "reset" || what == "pipe") {
		what = "gone"
	}
	s := fmt.Sprintf("%d %v: %d bytes", a.id, a.Kind, n)
	if len(p) > 0 {
		s += fmt.Sprintf(" with checksum %08x", crc32.ChecksumIEEE(p))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.results = append(t.results, s+", "+what)
}

// event notes that a function was called.
func (t *trace) event(name, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, twice := t.events[name]; twice {
		t.faults = append(t.faults, name+" twice")
	}
	if t.closed {
		t.faults = append(t.faults, name+" after OnClose")
	}
	t.events[name] = what
}

func (t *trace) fault(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, fmt.Sprintf(format, args...))
}

// snapshot is a trace at one moment, and what the peer has got.
type snapshot struct {
	calls    []call
	results  []string
	events   map[string]string
	seen     map[int]bool
	in       []byte
	faults   []string
	buffered int
	writable int
	queued   int
	got      []byte
	end      string
}

func (t *trace) snapshot(p *peer) snapshot {
	t.mu.Lock()
	s := snapshot{
		calls: slices.Clone(t.calls), results: slices.Clone(t.results), events: map[string]string{}, seen: map[int]bool{},
		in: t.in[:len(t.in):len(t.in)], faults: slices.Clone(t.faults), buffered: t.buffered, writable: t.writable,
	}
	for k, v := range t.events {
		s.events[k] = v
	}
	for k := range t.seen {
		s.seen[k] = true
	}
	t.mu.Unlock()
	s.got, s.end = p.state()
	return s
}

var errCause = errors.New("difftest: the cause of AbortWith")

// classify names the class of an error.
func classify(err error) string {
	var p *session.PanicError
	if errors.As(err, &p) {
		return "panic"
	}
	for _, c := range []struct {
		err  error
		name string
	}{
		{session.ErrWouldBlock, "would block"}, {session.ErrWriteBufferFull, "full"}, {io.ErrShortBuffer, "short"},
		{syscall.ECONNRESET, "reset"}, {syscall.EPIPE, "pipe"}, {os.ErrDeadlineExceeded, "deadline"}, {errCause, "cause"},
		{net.ErrClosed, "closed"}, {io.EOF, "EOF"},
	} {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return fmt.Sprint(err)
}
