package backendtest

import (
	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// noFreeFile lets the process open no file until restore is called.
func noFreeFile(e *Env) (restore func()) {
	var old unix.Rlimit
	assert.NoError(e, unix.Getrlimit(unix.RLIMIT_NOFILE, &old), "getrlimit")
	assert.NoError(e, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}), "setrlimit")
	return func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }
}
