package uring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Probe finds out what the kernel can do by trying it: a round trip over a socketpair that uses everything the driver
// needs, on the rung that c names or, from the best down, on the first that works. It returns c with that rung. The
// kernel's version says little: distributions add features to old kernels, and a seccomp filter may allow one of the
// three system calls and refuse another. Probe uses a small ring; NewAll finds out whether there is memory for the
// rings that c asks for. The error is a *backend.UnsupportedError.
func Probe(c Config) (Config, error) {
	names := rungNames()
	if c.Rung != "" {
		names = []string{c.Rung}
	}
	var first error
	for _, name := range names {
		c.Rung = name
		multishot, err := roundTrip(c)
		if err == nil {
			c.oneshot = !multishot
			return c, nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, syscall.EINVAL) {
			return c, unsupported(err)
		}
	}
	return c, unsupported(first)
}

// unsupported says what an operator can do about err.
func unsupported(err error) error {
	e := &backend.UnsupportedError{Backend: "uring", Cause: err}
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		e.Cure = permissionCure(sysctlDisabled())
	case errors.Is(err, syscall.ENOSYS):
		e.Cure = "the kernel is older than 5.1, or a seccomp filter (as podman's) hides io_uring; Linux 5.19 or newer, and a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register, are needed"
	case errors.Is(err, syscall.ENOMEM):
		e.Cure = memoryCure(Config{}.withDefaults(), 1)
	case errors.Is(err, syscall.EINVAL):
		e.Cure = "Linux 5.19 or newer is needed; this is " + backend.Kernel()
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Cure = "raise the limit of open files (ulimit -n, fs.file-max)"
	}
	return e
}

// sysctlDisabled is the value of kernel.io_uring_disabled, or "" if it does not exist (before Linux 6.6).
func sysctlDisabled() string {
	b, _ := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	return string(bytes.TrimSpace(b))
}

func permissionCure(sysctl string) string {
	const seccomp = "a seccomp filter refuses it, as those of Docker, containerd and Kubernetes do by default: allow io_uring_setup, io_uring_enter and io_uring_register in its profile"
	switch sysctl {
	case "1":
		return "the sysctl kernel.io_uring_disabled is 1: only processes with CAP_SYS_ADMIN or of the group in kernel.io_uring_group may use it; sysctl -w kernel.io_uring_disabled=0 allows it to all"
	case "2":
		return "the sysctl kernel.io_uring_disabled is 2, which disables it; sysctl -w kernel.io_uring_disabled=0 allows it"
	case "":
		return "the sysctl kernel.io_uring_disabled does not exist, so " + seccomp
	}
	return "the sysctl kernel.io_uring_disabled is " + strings.TrimSpace(sysctl) + ", so " + seccomp
}

// probe is one end of a socketpair on a driver.
type probe struct {
	backend.NoEvents
	sock     backend.Socket
	got      []byte
	sent     int
	answered bool // the last send has its answer
	err      error
	released bool
}

func (p *probe) Received(b []byte)      { p.got = append(p.got, b...) }
func (p *probe) ReceiveEnded(err error) { p.err = err }
func (p *probe) Released()              { p.released = true }
func (p *probe) Sent(n int, err error) {
	p.sent, p.answered, p.err = p.sent+n, true, errors.Join(p.err, err)
}

// roundTrip uses a goroutine of its own, because the driver locks it to its thread. It reports whether receives can be
// multishot.
func roundTrip(c Config) (multishot bool, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		multishot, err = roundTripHere(c)
	}()
	<-done
	return multishot, err
}

// tiny returns c with small queues and few buffers.
func (c Config) tiny() Config {
	c.Buffers, c.BufferSize, c.Entries, c.CompletionEntries = 2, 64, 8, 16
	return c
}

func roundTripHere(c Config) (multishot bool, err error) {
	c.RingSends = true
	d, err := New(c.tiny())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Start(new(backend.Counters)); err != nil {
		return false, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("uring: probe: %w", os.NewSyscallError("socketpair", err))
	}
	defer backend.CloseFD(pair[0])
	defer backend.CloseFD(pair[1])
	p := &probe{}
	p.sock = backend.Socket{Descriptor: backend.NewDescriptor(pair[0]), Owner: p}
	if err := d.Attach(&p.sock); err != nil {
		return false, err
	}
	if err := p.exchange(d, pair[1]); err != nil {
		return false, fmt.Errorf("uring: probe: %w", err)
	}
	d.Release(&p.sock)
	if err := poll(d, func() bool { return p.released }); err != nil {
		return false, fmt.Errorf("uring: probe: release: %w", err)
	}
	return d.rung.multishot, nil
}

// exchange receives twice, because only the second message shows that a multishot request continues, and sends once.
func (p *probe) exchange(d *Driver, peer int) error {
	d.Receive(&p.sock, true)
	for i := 1; i <= 2; i++ {
		if _, err := backend.Send(peer, []byte("ping")); err != nil {
			return os.NewSyscallError("send", err)
		}
		if err := poll(d, func() bool { return len(p.got) == 4*i || p.err != nil }); err != nil || p.err != nil {
			return fmt.Errorf("receive: %w", errors.Join(err, p.err))
		}
	}
	for answer := []byte("pong"); p.sent < len(answer); { // a send may take fewer bytes than there are
		p.answered = false
		if _, err := d.Send(&p.sock, [][]byte{answer[p.sent:]}); err != backend.ErrPending {
			return fmt.Errorf("send: %w", err)
		}
		if err := poll(d, func() bool { return p.answered || p.err != nil }); err != nil || p.err != nil {
			return fmt.Errorf("send: %w", errors.Join(err, p.err))
		}
	}
	got := make([]byte, 8)
	n, err := backend.Recv(peer, got)
	if err != nil || string(got[:n]) != "pong" {
		return fmt.Errorf("the peer got %q: %w", got[:n], errors.Join(err, syscall.EPROTO))
	}
	return nil
}

// poll runs the driver until done reports true, for a few seconds at most.
func poll(d *Driver, done func() bool) error {
	for deadline := time.Now().Add(5 * time.Second); !done(); {
		if time.Now().After(deadline) {
			return os.ErrDeadlineExceeded
		}
		if _, err := d.Poll(100 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
