//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package portable

func receiveOnce(fd uintptr, p []byte) (int, error) { return receiveByUnix(fd, p) }

func sendOnce(fd uintptr, bufs [][]byte) (int, error) { return sendByUnix(fd, bufs) }
