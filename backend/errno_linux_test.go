package backend

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// lastErrno is above all that Linux has, asm-generic/errno.h.
const lastErrno = 140

// TestJudgeAccept has the verdict on every errno there is.
func TestJudgeAccept(t *testing.T) {
	short := []syscall.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC}
	failed := []syscall.Errno{
		unix.EPERM, unix.EINTR, unix.EAGAIN, unix.EACCES, unix.EPIPE, unix.ENONET, unix.EPROTO, unix.EMSGSIZE, unix.ENOPROTOOPT,
		unix.EOPNOTSUPP, unix.ENETDOWN, unix.ENETUNREACH, unix.ECONNABORTED, unix.ECONNRESET, unix.ETIMEDOUT,
		unix.ECONNREFUSED, unix.EHOSTDOWN, unix.EHOSTUNREACH,
	}
	for e := syscall.Errno(1); e < lastErrno; e++ {
		want := SocketFailed
		switch {
		case slices.Contains(short, e):
			want = ResourceShort
		case slices.Contains(failed, e):
			want = ConnectionFailed
		}
		got, cure := JudgeAccept(e)
		assert.Equal(t, want, got, "%d: %v", e, e)
		assert.Equal(t, want == ResourceShort, cure != "", "%v: cure %q", e, cure)
		got, _ = JudgeAccept(fmt.Errorf("accept: %w", os.NewSyscallError("accept", e)))
		assert.Equal(t, want, got, "%v, wrapped", e)
	}
	got, _ := JudgeAccept(errors.New("no errno at all"))
	assert.Equal(t, SocketFailed, got)
}
