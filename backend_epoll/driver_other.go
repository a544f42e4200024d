//go:build !linux

package epoll

import (
	"errors"

	"github.com/tandem-io/tandem/backend"
)

// Config says how a driver runs.
type Config struct {
	Sockets int
	Thread  bool
}

// New returns an error that is errors.ErrUnsupported: epoll is Linux's.
func New(Config) (backend.Driver, error) {
	return nil, &backend.UnsupportedError{Backend: "epoll", Cause: errors.New("not Linux")}
}
