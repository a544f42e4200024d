//go:build !linux

package backendtest

import "errors"

func stillOpen(uintptr) error { return errors.ErrUnsupported }
