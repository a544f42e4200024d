//go:build linux

package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Resident is the resident memory of a process, from /proc/PID/smaps_rollup, which is exact. Where that is not readable
// it is from statm, which lags by up to some dozen pages per CPU.
func Resident(pid int) (int64, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	if text, err := os.ReadFile(dir + "/smaps_rollup"); err == nil {
		return parseRollup(string(text))
	}
	text, err := os.ReadFile(dir + "/statm")
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	return parseStatm(string(text))
}

func parseRollup(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "Rss:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read smaps_rollup: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("read smaps_rollup: no line Rss in %q", text)
}

func parseStatm(text string) (int64, error) {
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("read statm: want 7 numbers, got %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read statm: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}
