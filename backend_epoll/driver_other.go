//go:build !linux

package epoll

import (
	"errors"

	"github.com/tandem-io/tandem/backend"
)

// Driver does not exist on this system.
type Driver struct{ backend.Driver }

// New returns an error that is errors.ErrUnsupported: only Linux has epoll.
func New(Config) (*Driver, error) {
	return nil, &backend.UnsupportedError{Backend: "epoll", Cause: errors.New("not Linux")}
}
