package polled_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// manual is a clock that a test sets.
type manual struct{ now time.Time }

func (m *manual) Now() time.Time          { return m.now }
func (m *manual) advance(d time.Duration) { m.now = m.now.Add(d) }

func newManual() *manual { return &manual{now: time.Unix(1, 0)} }

// TestHeartbeat drives for 151 ms in steps of 1 ms, with a beat each 50 ms.
func TestHeartbeat(t *testing.T) {
	clock := newManual()
	inner := &sessiontest.Script[string, string]{}
	h := polled.NewHeartbeat(inner, 50*time.Millisecond, func(s polled.Session[string, string]) (polled.Beat, error) {
		_, _, err := s.Write("beat")
		return polled.Sent, err
	})
	h.Now = clock.Now
	active := 0
	for range 152 {
		a, err := h.Drive()
		require.NoError(t, err)
		if a == polled.Active {
			active++
		}
		clock.advance(time.Millisecond)
	}
	assert.Equal(t, []string{"beat", "beat", "beat"}, inner.Written)
	assert.Equal(t, 3, active, "calls of Drive that were Active")
	assert.Equal(t, 152, inner.Drove, "calls of Drive of the session below")
}

// TestHeartbeatOutcomes has beats that fail, are skipped and return an error, and a session that is not established.
func TestHeartbeatOutcomes(t *testing.T) {
	clock := newManual()
	failure := errors.New("on purpose")
	inner := &sessiontest.Script[string, string]{
		Statuses: []polled.Status{polled.Establishing, polled.Establishing},
	}
	outcomes := []polled.Beat{polled.Failed, polled.Failed, polled.Sent, polled.Skipped, polled.Sent}
	var at []time.Duration
	begin := clock.now
	h := polled.NewHeartbeat(inner, 10*time.Millisecond, func(polled.Session[string, string]) (polled.Beat, error) {
		at = append(at, clock.now.Sub(begin)/time.Millisecond)
		if len(outcomes) == 0 {
			return polled.Sent, failure
		}
		beat := outcomes[0]
		outcomes = outcomes[1:]
		return beat, nil
	})
	h.Now = clock.Now
	var err error
	for err == nil && clock.now.Sub(begin) < time.Second {
		_, err = h.Drive()
		clock.advance(time.Millisecond)
	}
	// Establishing for 2 ms; the first beat is due at 12 and fails twice; one is sent at 14, and one each 10 ms.
	assert.Equal(t, []time.Duration{12, 13, 14, 24, 34, 44}, at, "beats, in ms")
	assert.Equal(t, failure, err, "Drive")
}
