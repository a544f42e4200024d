package polled_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

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
		if err != nil {
			t.Fatal(err)
		}
		if a == polled.Active {
			active++
		}
		clock.advance(time.Millisecond)
	}
	if want := []string{"beat", "beat", "beat"}; !slices.Equal(inner.Written, want) || active != 3 {
		t.Errorf("written: %q; Active %d times", inner.Written, active)
	}
	if inner.Drove != 152 {
		t.Errorf("the session below was driven %d times, not 152", inner.Drove)
	}
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
	if want := []time.Duration{12, 13, 14, 24, 34, 44}; !slices.Equal(at, want) {
		t.Errorf("beats at %v ms, not %v", at, want)
	}
	if err != failure {
		t.Errorf("Drive: %v", err)
	}
}

// TestLiveness asks, for each sign of life, whether it keeps a session alive that counts it, and no other.
func TestLiveness(t *testing.T) {
	type script = sessiontest.Script[string, string]
	for _, c := range []struct {
		name  string
		sign  polled.Life
		inner func() *script
		do    func(polled.Session[string, string])
	}{
		{"drive", polled.LifeDrive, func() *script { return &script{Drives: []sessiontest.Drive{{}, {Activity: polled.Active}}} },
			func(polled.Session[string, string]) {}},
		{"read", polled.LifeRead, func() *script { return &script{Reads: []sessiontest.Read[string]{{Status: polled.Data}}} },
			func(s polled.Session[string, string]) { _, _, _ = s.Read() }},
		{"buffered", polled.LifeRead, func() *script { return &script{Reads: []sessiontest.Read[string]{{Status: polled.Buffered}}} },
			func(s polled.Session[string, string]) { _, _, _ = s.Read() }},
		{"write", polled.LifeWrite, func() *script { return &script{} },
			func(s polled.Session[string, string]) { _, _, _ = s.Write("x") }},
		{"connect", polled.LifeConnect, func() *script {
			return &script{Statuses: []polled.Status{polled.Establishing, polled.Establishing, polled.Established}}
		}, func(polled.Session[string, string]) {}},
		{"nothing read", 0, func() *script { return &script{} }, func(s polled.Session[string, string]) { _, _, _ = s.Read() }},
		{"nothing taken", 0, func() *script {
			return &script{Writes: []sessiontest.Write[string]{{Status: polled.Pending}}}
		}, func(s polled.Session[string, string]) { _, _, _ = s.Write("x") }},
	} {
		for _, signs := range []polled.Life{polled.LifeConnect, polled.LifeDrive, polled.LifeRead, polled.LifeWrite, polled.LifeAny, 0} {
			counts := signs&c.sign != 0 || signs == 0 && c.sign != 0
			clock := newManual()
			l := polled.NewLiveness(c.inner(), 10*time.Millisecond, signs)
			l.Now = clock.Now
			drive := func(after time.Duration) error {
				clock.advance(after)
				_, err := l.Drive()
				return err
			}
			if err := drive(0); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if err := drive(6 * time.Millisecond); err != nil { // where the sign of drive and connect is
				t.Fatalf("%s: %v", c.name, err)
			}
			c.do(l)
			err := drive(6 * time.Millisecond) // 12 ms after the beginning, 6 after the sign
			if alive := err == nil; alive != counts {
				t.Errorf("%s, with signs %04b: Drive: %v", c.name, signs, err)
			}
			if err = drive(6 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || l.Status() != polled.Terminated {
				t.Errorf("%s, with signs %04b, without a further sign: Drive: %v; %v", c.name, signs, err, l.Status())
			}
		}
	}
}
