package httpsession

import (
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session/polled"
)

// lateness enforces MessageTimeout in a polled session.
type lateness struct {
	timeout time.Duration // 0: none
	since   time.Time     // when the first part of the present message was seen; zero: none was
}

// exceeded reports whether the present message takes too long. It is called after a Read that returned no message.
func (l *lateness) exceeded(status polled.ReadStatus) bool {
	switch {
	case l.timeout <= 0:
		return false
	case l.since.IsZero():
		if status == polled.Buffered {
			l.since = backend.SystemClock{}.Now()
		}
		return false
	}
	return backend.SystemClock{}.Since(l.since) >= l.timeout
}

// whole is called when a message is complete.
func (l *lateness) whole() { l.since = time.Time{} }

func (l *lateness) err() error {
	return fmt.Errorf("httpsession: a message was not whole within %v: %w", l.timeout, os.ErrDeadlineExceeded)
}
