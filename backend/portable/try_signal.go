//go:build linux || freebsd || netbsd || openbsd || dragonfly

package portable

import "golang.org/x/sys/unix"

const noSignal = unix.MSG_NOSIGNAL
