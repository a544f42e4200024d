package sessiontest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// TestPair runs the contract on sessions in memory, and on what can be stacked on them.
func TestPair(t *testing.T) {
	wraps := map[string]func(polled.Bytes) polled.Bytes{
		"plain":  func(s polled.Bytes) polled.Bytes { return s },
		"framed": func(s polled.Bytes) polled.Bytes { return polled.NewFramed(s, frame.U64{}, 1024) },
		"framed twice": func(s polled.Bytes) polled.Bytes {
			return polled.NewFramed(polled.NewFramed(s, frame.U64{}, 3000), frame.U64{}, 1024)
		},
		"heartbeat": func(s polled.Bytes) polled.Bytes {
			return polled.NewHeartbeat(s, time.Nanosecond, func(polled.Bytes) (polled.Beat, error) { return polled.Failed, nil })
		},
		"liveness": func(s polled.Bytes) polled.Bytes { return polled.NewLiveness(s, time.Hour, 0) },
	}
	for name, wrap := range wraps {
		for _, capacity := range []int{100, 64 << 10} {
			t.Run(fmt.Sprintf("%s/%d", name, capacity), func(t *testing.T) {
				sessiontest.Run(t, func(*testing.T) (a, b polled.Bytes) {
					one, two := sessiontest.Pair(capacity)
					return wrap(one), wrap(two)
				})
			})
		}
	}
}

// TestPairReset breaks a connection: what was under way arrives first.
func TestPairReset(t *testing.T) {
	a, b := sessiontest.Pair(10)
	rest, status, err := a.Write([]byte("hello, world"))
	require.NoError(t, err, "Write")
	require.Equal(t, "ld", string(rest), "Write")
	require.Equal(t, polled.Pending, status, "Write")
	a.Reset()
	_, _, err = a.Write([]byte("x"))
	assert.ErrorIs(t, err, syscall.ECONNRESET, "Write")
	_, err = b.Drive()
	assert.NoError(t, err, "Drive before all was read")
	assert.Equal(t, polled.Established, b.Status(), "Drive before all was read")
	data, got, err := b.Read()
	assert.NoError(t, err, "Read")
	assert.Equal(t, "hello, wor", string(data), "Read")
	assert.Equal(t, polled.Data, got, "Read")
	_, err = b.Drive()
	assert.ErrorIs(t, err, syscall.ECONNRESET, "Drive after all was read")
	assert.Equal(t, polled.Terminated, b.Status(), "Drive after all was read")
}

// TestScript plays every queue, and what comes when they are empty.
func TestScript(t *testing.T) {
	failure := errors.New("on purpose")
	s := &sessiontest.Script[string, string]{
		Statuses: []polled.Status{polled.Establishing},
		Drives:   []sessiontest.Drive{{Activity: polled.Active}, {Err: failure}},
		Reads:    []sessiontest.Read[string]{{Status: polled.Buffered}, {Data: "one", Status: polled.Data}, {Err: io.EOF}},
		Writes:   []sessiontest.Write[string]{{Rest: "wo", Status: polled.Pending}, {Status: polled.Success}, {Err: failure}},
		Flushes:  []error{failure},
	}
	var got []string
	note := func(v ...any) { got = append(got, fmt.Sprintln(v...)) }
	for range 3 {
		a, err := s.Drive()
		note(s.Status(), a, err, s.Flush())
	}
	for range 4 {
		r, status, err := s.Read()
		note(r, status, err)
	}
	for _, w := range []string{"two", "wo", "three", "four"} {
		rest, status, err := s.Write(w)
		note(rest, status, err)
	}
	want := []string{
		"establishing active <nil> on purpose\n", "established idle on purpose <nil>\n", "established idle <nil> <nil>\n",
		" buffered <nil>\n", "one data <nil>\n", " none EOF\n", " none <nil>\n",
		"wo pending <nil>\n", " success <nil>\n", " success on purpose\n", " success <nil>\n",
	}
	assert.Equal(t, want, got)
	assert.Equal(t, []string{"wo", "four"}, s.Written, "written")
	_ = s.Close()
	_, driveErr := s.Drive()
	_, _, readErr := s.Read()
	_, _, writeErr := s.Write("x")
	for _, err := range []error{driveErr, readErr, writeErr, s.Flush()} {
		assert.ErrorIs(t, err, net.ErrClosed, "after Close")
	}
}
