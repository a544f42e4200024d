//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// What a server can do with what it gets.
const (
	modeEcho      = "echo"
	modeFrameEcho = "frame-echo"
	modeConnEcho  = "conn-echo"
	modeDiscard   = "discard"
	modeFanOut    = "fan-out"
	modeWorker    = "worker"
)

// modes lists all of them.
var modes = []string{modeEcho, modeFrameEcho, modeConnEcho, modeDiscard, modeFanOut, modeWorker}

// listModes is one line of help for each.
func listModes() string {
	return `  echo         sends back what it gets
  frame-echo   decodes U64 frames, and answers each with one write of the same frame
  conn-echo    echo by a goroutine per connection, over a net.Conn, with reads of 64 KiB
  discard      drops what it gets
  fan-out      greets each connection with one byte 0x01, and sends what comes from one to all
  worker       echo, where a goroutine that is not the loop writes the answer`
}

// futureModes are names that are taken, and nothing has them.
var futureModes = []string{"tls-echo", "http"}

// greeting is what a fan-out server sends to a connection as soon as it belongs to those that get everything.
const greeting = 0x01

// readBuffer is the receive buffer of every server that lets one choose: 64 KiB.
const readBuffer = 64 << 10

// checkMode reports a mode that there is not, or that the implementation does not have.
func (im implementation) checkMode(mode string) error {
	switch {
	case slices.Contains(im.Modes, mode):
		return nil
	case im.Lacks[mode] != "":
		return fmt.Errorf("%s has no mode %s: %s", im.Name, mode, im.Lacks[mode])
	case slices.Contains(modes, mode):
		return fmt.Errorf("%s has no mode %s: it has %s", im.Name, mode, strings.Join(im.Modes, ", "))
	case slices.Contains(futureModes, mode):
		return fmt.Errorf("mode %s is not there yet: choose one of %s", mode, strings.Join(im.Modes, ", "))
	}
	return fmt.Errorf("unknown mode %q for %s: choose one of %s", mode, im.Name, strings.Join(im.Modes, ", "))
}
