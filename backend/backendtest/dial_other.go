//go:build !linux

package backendtest

import "errors"

func enterNamespace() error { return errors.ErrUnsupported }
