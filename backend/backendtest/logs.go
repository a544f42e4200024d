package backendtest

import (
	"log/slog"
	"strconv"
	"strings"

	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// openLogging opens a Transport whose log can be read.
func (e *Env) openLogging(change func(*Options)) (*session.Engine, *sessiontest.Log) {
	e.Helper()
	kept := &sessiontest.Log{}
	return e.Open(func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(kept, nil))
		if change != nil {
			change(o)
		}
	}), kept
}

// logged waits for a text in the log: a message may come behind what it is about.
func (e *Env) logged(log *sessiontest.Log, text string) {
	e.Helper()
	e.Eventually(func() bool { return strings.Contains(log.String(), text) }, "%q in the log", text)
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
