package backend

import (
	"errors"
	"os"
	"slices"
	"syscall"
)

// What errnos mean to those above the kernel is decided here, and nowhere else.

// CallError is err with the name of the operation that failed, as package net has it, if it is a bare errno.
func CallError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError(op, errno)
	}
	return err
}

// IsBrokenPipe reports whether a send failed only because the peer, or this end, has ended that direction.
func IsBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// AcceptVerdict is what a failed accept means for its listener.
type AcceptVerdict uint8

// The verdicts.
const (
	SocketFailed     AcceptVerdict = iota // the socket will not accept again
	ConnectionFailed                      // the next accept may succeed
	ResourceShort                         // a resource is short, which passes
)

// connectionErrors are those of a connection that broke before it was accepted, or that a rule forbids: accept(2),
// "Error handling". The list there is not complete: an ICMP message may also leave EMSGSIZE, EACCES, ECONNREFUSED;
// icmp_err_convert in net/ipv4/icmp.c, tab_unreach in net/ipv6/icmp.c. EPERM is a firewall's.
var connectionErrors = []syscall.Errno{
	syscall.EAGAIN, syscall.EINTR, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE,
	syscall.EPROTO, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EPERM, syscall.EACCES, syscall.EMSGSIZE,
	syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ETIMEDOUT, enonet,
}

// enonet is ENONET, which package syscall does not have everywhere.
const enonet = syscall.Errno(64)

// resourceErrors come with what an operator can do. ENOSPC is epoll_ctl(2)'s.
var resourceErrors = map[syscall.Errno]string{
	syscall.EMFILE:  "raise the limit of open files of the process (ulimit -n), or close streams",
	syscall.ENFILE:  "raise the system's limit of open files (fs.file-max)",
	syscall.ENOBUFS: "the kernel is short of memory for sockets",
	syscall.ENOMEM:  "the kernel is short of memory",
	syscall.ENOSPC:  "raise fs.epoll.max_user_watches",
}

// JudgeAccept decides what the error of an accept means. cure is what an operator can do about ResourceShort.
func JudgeAccept(err error) (verdict AcceptVerdict, cure string) {
	var e syscall.Errno
	if !errors.As(err, &e) {
		return SocketFailed, ""
	}
	cure, short := resourceErrors[e]
	switch {
	case short:
		return ResourceShort, cure
	case slices.Contains(connectionErrors, e):
		return ConnectionFailed, ""
	}
	return SocketFailed, ""
}
