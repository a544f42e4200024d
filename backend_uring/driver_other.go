//go:build !linux

package uring

import (
	"errors"

	"github.com/tandem-io/tandem/backend"
)

var errNotLinux = &backend.UnsupportedError{Backend: "uring", Cause: errors.New("not Linux")}

// Driver does not exist on this system.
type Driver struct{ backend.Driver }

// Probe returns an error that is errors.ErrUnsupported: only Linux has io_uring.
func Probe(c Config) (Config, error) { return c, errNotLinux }

// New returns an error that is errors.ErrUnsupported: only Linux has io_uring.
func New(Config) (*Driver, error) { return nil, errNotLinux }

// NewAll returns an error that is errors.ErrUnsupported: only Linux has io_uring.
func NewAll(Config, int) ([]backend.Driver, error) { return nil, errNotLinux }
