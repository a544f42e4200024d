//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pin keeps this process, with its threads to come, on one CPU.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// child is a server that runs.
type child struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	address string
}

// startChild starts a server on CPU 0.
func startChild(name, target string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command("taskset", "-c", "0", self, "serve", name, target)}
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err = c.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}
	c.address = strings.TrimSpace(line)
	return c, nil
}

// end ends the server and returns the CPU time that it has used in all.
func (c *child) end() (time.Duration, error) {
	_ = c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		return 0, err
	}
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime(), nil
}

// compare measures each of the servers in turn, rounds times, and prints medians, relative to the first.
func compare(names []string, rounds int, unit string, one func(name string) (perUnit time.Duration, err error)) error {
	all := map[string][]time.Duration{}
	for round := range rounds {
		for i := range names {
			name := names[(i+round)%len(names)] // nobody is always first
			d, err := one(name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			all[name] = append(all[name], d)
		}
	}
	median := func(name string) time.Duration { return all[name][rounds/2] }
	for _, d := range all {
		slices.Sort(d)
	}
	base := median(names[0])
	for _, name := range names {
		m := median(name)
		fmt.Printf("%-14s %10v per %s, %.2f of %s  (%v to %v)\n", name, m.Round(time.Microsecond/10), unit, float64(m)/float64(base), names[0],
			all[name][0].Round(time.Microsecond/10), all[name][rounds-1].Round(time.Microsecond/10))
	}
	return nil
}
