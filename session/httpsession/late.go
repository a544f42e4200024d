package httpsession

import (
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame/http1"
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

// came is called when a part of a message has come. Behind the last the time ends.
func (l *lateness) came(part http1.Part) {
	switch {
	case part.Ends():
		l.since = time.Time{}
	case l.timeout > 0 && part == http1.First:
		l.since = backend.SystemClock{}.Now()
	}
}

func (l *lateness) err() error {
	return fmt.Errorf("httpsession: a message was not whole within %v: %w", l.timeout, os.ErrDeadlineExceeded)
}
