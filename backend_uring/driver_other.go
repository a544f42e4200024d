//go:build !linux

package uring

import (
	"errors"

	"github.com/tandem-io/tandem/backend"
)

var errNotLinux = &backend.UnsupportedError{Backend: "uring", Cause: errors.New("not Linux")}

// Probe returns an error that is errors.ErrUnsupported: io_uring is Linux's.
func Probe(c Config) (Config, error) { return c, errNotLinux }

// New returns an error that is errors.ErrUnsupported: io_uring is Linux's.
func New(Config) (backend.Driver, error) { return nil, errNotLinux }

// NewAll returns an error that is errors.ErrUnsupported: io_uring is Linux's.
func NewAll(Config, int) ([]backend.Driver, error) { return nil, errNotLinux }
