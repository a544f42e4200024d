//go:build !linux

package backendtest

import (
	"errors"
	"net"
	"time"
)

func roomFor(int) error { return errors.ErrUnsupported }

func connectRaw(*net.TCPAddr) (int, error) { return -1, errors.ErrUnsupported }

func closeRaw(int) {}

func cpuTime() time.Duration { return 0 }
