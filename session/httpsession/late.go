package httpsession

import (
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session/polled"
)

// lateness watches, for a session that is polled, that a message that has begun is whole in time.
type lateness struct {
	timeout time.Duration // 0: none
	since   time.Time     // when a part of the present message was seen first; zero: none was
}

// exceeded reports whether the present message has taken too long, after a Read that brought no message.
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

// whole says that the message has come.
func (l *lateness) whole() { l.since = time.Time{} }

func (l *lateness) err() error {
	return fmt.Errorf("httpsession: a message was not whole within %v: %w", l.timeout, os.ErrDeadlineExceeded)
}
