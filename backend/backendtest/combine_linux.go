package backendtest

import "golang.org/x/sys/unix"

// noFreeFile lets the process open no file until restore is called.
func noFreeFile(e *Env) (restore func()) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		e.Errorf("getrlimit: %v", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		e.Errorf("setrlimit: %v", err)
	}
	return func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }
}
