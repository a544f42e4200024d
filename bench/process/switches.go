//go:build linux

package process

import (
	"fmt"
	"strconv"
	"strings"
)

// switchCount counts how often the threads of a process gave up the CPU, and how often it was taken from them.
type switchCount struct{ Voluntary, Involuntary int64 }

func (c switchCount) minus(d switchCount) switchCount {
	return switchCount{c.Voluntary - d.Voluntary, c.Involuntary - d.Involuntary}
}

// processSwitches adds up /proc/PID/task/*/status.
func processSwitches(pid int) (switchCount, error) {
	var sum switchCount
	err := eachThread(pid, "status", func(text string) error {
		c, err := parseSwitches(text)
		sum.Voluntary += c.Voluntary
		sum.Involuntary += c.Involuntary
		return err
	})
	return sum, err
}

// parseSwitches finds the two counts of one thread.
func parseSwitches(text string) (switchCount, error) {
	var c switchCount
	found := 0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		var to *int64
		switch name {
		case "voluntary_ctxt_switches":
			to = &c.Voluntary
		case "nonvoluntary_ctxt_switches":
			to = &c.Involuntary
		default:
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil {
			return switchCount{}, fmt.Errorf("read the context switches of a thread: %w", err)
		}
		*to = n
		found++
	}
	if found != 2 {
		return switchCount{}, fmt.Errorf("read the context switches of a thread: %d of 2 lines are there", found)
	}
	return c, nil
}
