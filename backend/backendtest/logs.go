package backendtest

import (
	"bytes"
	"log/slog"
	"strconv"
	"sync"

	"github.com/tandem-io/tandem/session"
)

// logs is where a Transport under test may log.
type logs struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// openLogging opens a Transport whose log can be read.
func (e *Env) openLogging(change func(*Options)) (*session.Engine, *logs) {
	e.Helper()
	kept := &logs{}
	return e.Open(func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(kept, nil))
		if change != nil {
			change(o)
		}
	}), kept
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
