//go:build linux

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tandem-io/tandem/bench/results"
	"golang.org/x/sys/unix"
)

// Account is what the kernel has counted for a process since it began. CPU time and context switches do not include
// threads that have ended; the servers keep theirs.
type Account struct {
	cpu      CPUTime
	modes    modeTime
	switches switchCount
}

// Minus is the difference between two accounts.
func (a Account) Minus(b Account) Account {
	return Account{a.cpu.Minus(b.cpu), a.modes.minus(b.modes), a.switches.minus(b.switches)}
}

// Fill writes the difference between two accounts into a sample.
func (a Account) Fill(s *results.Sample) {
	s.ServerCPU, s.ServerWait = a.cpu.Ran, a.cpu.Waited
	s.ServerUser, s.ServerSys = a.modes.User, a.modes.Sys
	s.Voluntary, s.Involuntary = a.switches.Voluntary, a.switches.Involuntary
}

// Read reads all counts. The CPU time comes last, so that the cost of reading the others is outside of a window that
// begins here.
func Read(pid int) (a Account, err error) {
	if a.modes, err = processModes(pid); err != nil {
		return Account{}, err
	}
	if a.switches, err = processSwitches(pid); err != nil {
		return Account{}, err
	}
	a.cpu, err = CPU(pid)
	return a, err
}

// eachThread calls read with the named file of every thread of a process. A thread that ends meanwhile is skipped.
func eachThread(pid int, file string, read func(text string) error) error {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "task")
	threads, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the threads of a process: %w", err)
	}
	for _, t := range threads {
		text, err := os.ReadFile(filepath.Join(dir, t.Name(), file))
		if len(threads) > 1 && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s of a thread: %w", file, err)
		}
		if err := read(string(text)); err != nil {
			return err
		}
	}
	return nil
}
