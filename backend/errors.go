package backend

import (
	"errors"
	"fmt"
	"strings"
)

// UnsupportedError says that a backend cannot run here, and for an operator why, and what would help.
type UnsupportedError struct {
	Backend string // "epoll" or "uring"
	Cause   error  // what was tried and failed
	Cure    string // what an operator can do, or ""
}

func (e *UnsupportedError) Error() string {
	cause := strings.TrimPrefix(e.Cause.Error(), e.Backend+": ")
	s := fmt.Sprintf("%s cannot run here: %s", e.Backend, cause)
	if e.Cure != "" {
		s += "; " + e.Cure
	}
	return s
}

// Unwrap returns the cause.
func (e *UnsupportedError) Unwrap() error { return e.Cause }

// Is reports that it is errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }
