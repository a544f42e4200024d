//go:build linux

package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// modeTime is the CPU time of a process in user and kernel mode. The kernel scales its samples to the exact sum and
// reports hundredths of a second, so it is rough over a short window.
type modeTime struct{ User, Sys time.Duration }

func (t modeTime) minus(u modeTime) modeTime { return modeTime{t.User - u.User, t.Sys - u.Sys} }

// clockTick is the unit of times in /proc: USER_HZ, which is 100 on every architecture that Go runs on. proc(5).
const clockTick = time.Second / 100

// processModes reads user and system time from /proc/PID/stat; threads that have ended are in it.
func processModes(pid int) (modeTime, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return modeTime{}, fmt.Errorf("read the CPU time of a process: %w", err)
	}
	return parseStat(string(text))
}

// parseStat reads fields 14 and 15. It counts from the end of the command name, which may contain anything.
func parseStat(text string) (modeTime, error) {
	at := strings.LastIndexByte(text, ')')
	if at < 0 {
		return modeTime{}, fmt.Errorf("read stat: no command name in %q", text)
	}
	fields := strings.Fields(text[at+1:]) // from field 3 on
	if len(fields) < 13 {
		return modeTime{}, fmt.Errorf("read stat: only %d fields after the name", len(fields))
	}
	var ticks [2]int64
	for i := range ticks {
		var err error
		if ticks[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return modeTime{}, fmt.Errorf("read stat: %w", err)
		}
	}
	return modeTime{User: time.Duration(ticks[0]) * clockTick, Sys: time.Duration(ticks[1]) * clockTick}, nil
}
