//go:build linux

package process

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// CPUTime is what the scheduler counted for a process.
type CPUTime struct {
	Ran    time.Duration // on a CPU, in user and kernel mode together
	Waited time.Duration // runnable, while another process had the CPU
}

// Minus is the difference between two times.
func (t CPUTime) Minus(u CPUTime) CPUTime { return CPUTime{t.Ran - u.Ran, t.Waited - u.Waited} }

// CPU adds up the first two numbers of /proc/PID/task/*/schedstat. They are nanoseconds, while utime and stime of
// /proc/PID/stat are ticks. For a thread that is running, the first lags by at most one tick.
func CPU(pid int) (CPUTime, error) {
	var sum CPUTime
	err := eachThread(pid, "schedstat", func(text string) error {
		d, err := parseSchedstat(text)
		sum.Ran += d.Ran
		sum.Waited += d.Waited
		return err
	})
	return sum, err
}

// parseSchedstat reads one schedstat file: time run, time waited, and how often.
func parseSchedstat(text string) (CPUTime, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return CPUTime{}, fmt.Errorf("read schedstat: want 3 numbers, got %q", text)
	}
	var ns [2]int64
	for i := range ns {
		var err error
		if ns[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return CPUTime{}, fmt.Errorf("read schedstat: %w", err)
		}
	}
	return CPUTime{Ran: time.Duration(ns[0]), Waited: time.Duration(ns[1])}, nil
}
