//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// proc is the directory of a process in /proc.
func proc(pid int, name ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(pid)}, name...)...)
}

// statusBytes returns a line of /proc/PID/status that is in KiB, in bytes: VmRSS is the resident memory, VmHWM its peak.
func statusBytes(pid int, line string) (int64, error) {
	text, err := os.ReadFile(proc(pid, "status"))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(l, line+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n * kib, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", proc(pid, "status"), line)
}

// forgetPeak begins the peak of the resident memory anew. Where that is not allowed it is the peak since the process
// began, which only makes a bound harder to keep.
func forgetPeak(pid int) { _ = os.WriteFile(proc(pid, "clear_refs"), []byte("5"), 0) }

// descriptors counts the descriptors of a process.
func descriptors(pid int) (int, error) {
	all, err := os.ReadDir(proc(pid, "fd"))
	return len(all), err
}

// schedule is what the scheduler counted for the threads of a process.
type schedule struct {
	ran    time.Duration // in user and in kernel mode
	waited time.Duration // for a CPU that another process had
}

func scheduleOf(pid int) (schedule, error) {
	threads, err := filepath.Glob(proc(pid, "task", "*", "schedstat"))
	if err != nil {
		return schedule{}, err
	}
	var sum schedule
	for _, t := range threads {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // it has ended
		}
		var ran, waited int64
		if _, err := fmt.Sscan(string(text), &ran, &waited); err != nil {
			return schedule{}, fmt.Errorf("%s: %w", t, err)
		}
		sum.ran += time.Duration(ran)
		sum.waited += time.Duration(waited)
	}
	return sum, nil
}

func (s schedule) minus(t schedule) schedule { return schedule{s.ran - t.ran, s.waited - t.waited} }

// slowdown is how many times longer the process took because others had the CPUs, 10 at most.
func (s schedule) slowdown() float64 {
	if s.ran <= 0 {
		return 1
	}
	return min(max(1+float64(s.waited)/float64(s.ran), 1), 10)
}
