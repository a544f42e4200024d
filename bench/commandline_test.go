//go:build linux

package main

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/campaign"
	"github.com/tandem-io/tandem/bench/servers"
	"github.com/tandem-io/tandem/bench/workload"
)

// TestBadCommandLines: what makes no sense has exit status 2, prints nothing on standard output, and says what is wrong.
func TestBadCommandLines(t *testing.T) { //nolint:funlen // a list
	for line, want := range map[string]string{
		"nonsense": `"nonsense"`,
		"serve":    "--impl",

		"serve --impl nonsense":                            "choose one of bare-epoll, bare-uring, coder",
		"serve --imp net":                                  "--imp",
		"serve net":                                        `"net"`,
		"serve --impl net --mode x":                        `unknown mode "x"`,
		"serve --impl bare-epoll --mode tls-echo":          "bare-epoll has no mode tls-echo: it has echo, discard",
		"serve --impl gorilla":                             "gorilla has no mode echo: it has ws-echo",
		"serve --impl gnet --mode ws-echo":                 "gnet has no mode ws-echo: it has no WebSocket",
		"serve --impl evio --mode worker":                  "evio has no mode worker: its handlers",
		"serve --impl bare-epoll --mode fan-out":           "bare-epoll has no mode fan-out: it has echo, discard",
		"serve --impl bare-epoll --mode conn-echo":         "bare-epoll has no mode conn-echo: it has echo, discard",
		"serve --impl net --addr nowhere":                  "HOST:PORT",
		"serve --impl net --addr=":                         "HOST:PORT",
		"serve --impl bare-epoll --loops 2":                "--loops",
		"serve --impl net --loops 2":                       "--loops",
		"serve --impl gnet --loops -1":                     "--loops",
		"serve --impl gnet --spin 1us":                     "--spin",
		"serve --impl tandem-epoll --spin -1us":            "--spin",
		"serve --impl net --work -1us":                     "--work",
		"serve --impl net --mode worker --work 1us":        "--work",
		"serve --impl net --work soon":                     "--work",
		"load":                                             "--addr",
		"load --addr nowhere":                              "HOST:PORT",
		"load --addr 127.0.0.1:9 --kind x":                 `unknown kind of load "x"`,
		"load --addr 127.0.0.1:9 --conns 0":                "connections",
		"load --addr 127.0.0.1:9 --kind churn --depth 2":   "--depth",
		"load --addr 127.0.0.1:9 --kind churn --rate 2":    "--rate",
		"load --addr 127.0.0.1:9 --rate 9 --depth 2":       "--depth",
		"load --addr 127.0.0.1:9 --rate -1":                "rate",
		"load --addr 127.0.0.1:9 --kind idle":              "--pid",
		"load --addr 127.0.0.1:9 --syscalls":               "--pid",
		"load --addr 127.0.0.1:9 --pid -1":                 "--pid",
		"load --addr 127.0.0.1:9 --window 0":               "window",
		"load --addr 127.0.0.1:9 --conns 1048576":          "open files",
		"load --addr 127.0.0.1:9 --kind tls-idle":          "--pid",
		"load --addr 127.0.0.1:9 --kind tls-full --rate 2": "--rate",
		"load --addr 127.0.0.1:9 --kind http --size 14":    "have 13 bytes: omit --size 14",

		"run --quick --full":                     "exclude",
		"run --full --conns 3":                   "--full",
		"run --impl net,net":                     "twice",
		"run --impl nonsense":                    "choose one of",
		"run --kind nonsense":                    "choose one of echo",
		"run --kind echo,churn --depth 16":       "churn has one message in flight",
		"run --rounds 0":                         "rounds",
		"run --seconds 0":                        "time to measure",
		"run --procs 0":                          "GOMAXPROCS",
		"run --conns x":                          "--conns",
		"run --impl evio --kind fan-out":         "nothing to measure",
		"run --impl bare-epoll --kind conn-echo": "nothing to measure",
		"run everything":                         `"everything"`,
		"run --conns 1048576":                    "open files",
	} {
		t.Run(line, func(t *testing.T) {
			status, stdout, stderr := runProgram(t, strings.Fields(line)...)
			assert.Equal(t, exitUsage, status)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, want)
		})
	}
}

func TestServeRefusesATakenAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, im := range servers.All() {
		t.Run(im.Name, func(t *testing.T) {
			status, stdout, stderr := runProgram(t, "serve", "--impl", im.Name, "--mode", im.Modes[0], "--addr", taken.Addr().String())
			if status == campaign.ExitUnsupported {
				unsupported(t, stderr)
			}
			assert.Equal(t, exitFailed, status)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, "in use")
		})
	}
}

func TestLoadOfAProcessThatIsNotThere(t *testing.T) {
	s := start(t, "net", workload.ModeEcho)
	status, _, stderr := runProgram(t, "load", "--addr", s.Addr, "--pid", "1073741824", "--window", "10ms")
	assert.Equal(t, exitFailed, status)
	assert.Regexp(t, os.ErrNotExist.Error()+"|no such file", stderr)
}

func TestHelpNamesWhatThereIs(t *testing.T) {
	for command, want := range map[string][]string{
		"serve": append([]string{"Examples:", "--work", "--spin"}, workload.Modes...),
		"load":  {"Examples:", "--rate", workload.KindEcho, workload.KindChurn, workload.KindIdle},
		"run":   {"Examples:", "--full", "--out", workload.KindFanOut, "tandem-uring", "netpoll"},
	} {
		status, stdout, _ := runProgram(t, command, "--help")
		assert.Zero(t, status, command)
		for _, w := range want {
			assert.Contains(t, stdout, w, "%s --help", command)
		}
	}
}
