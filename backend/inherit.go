package backend

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// firstInherited is the number of the first descriptor that a service manager passes, SD_LISTEN_FDS_START;
// sd_listen_fds(3).
const firstInherited = 3

// InheritedListeners returns the sockets that a service manager such as systemd has opened for this process, by the
// protocol of sd_listen_fds(3): LISTEN_FDS of them, if LISTEN_PID is this process. Their names are those of
// LISTEN_FDNAMES. It clears these variables, so that child processes do not claim the descriptors, and a second
// call returns none. Each file goes to ListenOptions.From, or to Adopt; the caller closes it.
func InheritedListeners() ([]*os.File, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(v)
	}
	if pid == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1<<16 {
		return nil, fmt.Errorf("tandem: inherited listeners: LISTEN_FDS is %q, not a number of descriptors", count)
	}
	var files []*os.File
	for i := range n {
		name := "LISTEN_FD_" + strconv.Itoa(firstInherited+i)
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		closeOnExec(firstInherited + i)
		files = append(files, os.NewFile(uintptr(firstInherited+i), name))
	}
	return files, nil
}
