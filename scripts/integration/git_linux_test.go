package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// TestGit has git list the references of a server of frames, by the first version of the protocol, see gitprotocol-pack(5).
func TestGit(t *testing.T) {
	git := tool(t, "git")
	onStreams(t, func(t *testing.T, tr tandem.Transport) {
		const count = 3000
		id := func(i int) string { return fmt.Sprintf("%040x", i+1) }
		var flushes atomic.Int32
		host, port := serveFrames(t, tr, session.Frames(frame.PktLine{}, func(s *tandem.Stream, m frame.Pkt) {
			send := func(m frame.Pkt) { assert.NoError(t, session.WriteFrame(s, frame.PktLine{}, m)) }
			switch {
			case m.Kind == frame.PktFlush: // it wants no objects
				flushes.Add(1)
			case bytes.HasPrefix(m.Data, []byte("git-upload-pack /some/where\x00host=")):
				send(frame.Pkt{Data: fmt.Appendf(nil, "%s HEAD\x00agent=test\n", id(0))})
				for i := range count {
					send(frame.Pkt{Data: fmt.Appendf(nil, "%s refs/heads/branch-%d\n", id(i), i)})
				}
				send(frame.Pkt{Kind: frame.PktFlush})
			default:
				send(frame.Pkt{Data: fmt.Appendf(nil, "ERR what is %.100q?\n", m.Data)})
			}
		}))
		list := func(repository string) ([]byte, error) {
			c := exec.CommandContext(t.Context(), git, "-c", "protocol.version=0", "ls-remote",
				fmt.Sprintf("git://%s:%s%s", host, port, repository))
			c.Env = append(os.Environ(), "HOME="+t.TempDir(), "GIT_CONFIG_NOSYSTEM=1")
			return c.CombinedOutput()
		}
		out, err := list("/some/where")
		require.NoError(t, err, "%.500s", out)
		lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		require.Len(t, lines, 1+count)
		assert.Equal(t, id(0)+"\tHEAD", lines[0])
		for i, line := range lines[1:] {
			require.Equal(t, fmt.Sprintf("%s\trefs/heads/branch-%d", id(i), i), line)
		}
		until(t, "the end of what git wants", func() bool { return flushes.Load() > 0 })

		out, err = list("/elsewhere")
		require.Error(t, err)
		assert.Contains(t, string(out), "what is")
	})
}
