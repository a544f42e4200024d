//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// roleVariable names the environment variable that says what a child is: "serve" or "attack".
const roleVariable = "TANDEM_HOSTILE_CHILD"

// runChild does what a child is there for, if this process is one.
func runChild() (status int, is bool) {
	run, ok := map[string]func(*conversation) error{"serve": serve, "attack": attackAsTold}[os.Getenv(roleVariable)]
	if !ok {
		return 0, false
	}
	in := bufio.NewReader(os.Stdin)
	if err := run(&conversation{in, os.Stdout}); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "hostile: %s: %v\n", os.Getenv(roleVariable), err)
		return 1, true
	}
	return 0, true
}

// conversation is what parent and child say to each other: lines of JSON. The parent asks, and the child answers.
type conversation struct {
	in  *bufio.Reader
	out io.Writer
}

func (c *conversation) say(v any) error {
	p, err := json.Marshal(v)
	if err == nil {
		_, err = c.out.Write(append(p, '\n'))
	}
	return err
}

func (c *conversation) hear(v any) error {
	line, err := c.in.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

// child is a process that this one has started.
type child struct {
	conversation
	role  string
	cmd   *exec.Cmd
	stdin io.Closer
}

// answerTime is how long a child may think.
const answerTime = 20 * time.Second

// startChild starts this program again, in a role, tells it what to do, and gets its first answer.
func startChild(role string, task, answer any) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if role == "attack" {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1") // the server needs a CPU, too
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{conversation{bufio.NewReader(out), in}, role, cmd, in}
	if err := c.ask(task, answer); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// ask says something and waits for the answer.
func (c *child) ask(question, answer any) error {
	late := time.AfterFunc(answerTime, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	err := c.say(question)
	if err == nil {
		err = c.hear(answer)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) {
		err = errors.New("it has ended, or was killed because it did not answer")
	}
	if err != nil {
		return fmt.Errorf("the process to %s: %w", c.role, err)
	}
	return nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends the child at once, as a crash would, and waits for it.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// end lets the child end by itself.
func (c *child) end() error {
	late := time.AfterFunc(answerTime, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	_ = c.stdin.Close()
	return c.cmd.Wait()
}
