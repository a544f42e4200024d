package backend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parkingDriver notes how each of its sleeps is.
type parkingDriver struct {
	*fakeDriver
	park   bool
	sleeps []bool
}

func (d *parkingDriver) Park(on bool) { d.park = on }

func (d *parkingDriver) Poll(wait time.Duration) (int, error) {
	if wait != 0 {
		d.sleeps = append(d.sleeps, d.park)
	}
	return 0, nil
}

// A loop parks in its next sleep once others have posted to it or written to its streams, and for some sleeps more.
func TestLoopParksInCompany(t *testing.T) {
	d := &parkingDriver{fakeDriver: newFake()}
	l := NewLoop(LoopConfig{Driver: d, CPU: -1})
	require.NoError(t, l.Bind())
	defer func() { _ = l.End() }()
	sleep := func(times int) []bool {
		t.Helper()
		d.sleeps = nil
		for len(d.sleeps) < times {
			_, err := l.Step(time.Hour)
			require.NoError(t, err)
		}
		return d.sleeps
	}
	assert.NotContains(t, sleep(3), true, "alone from the start")
	for name, others := range map[string]func(){
		"a task":  func() { require.NoError(t, l.Post(TaskFunc(func() {}))) },
		"a write": func() { l.CountShared(DirectWrites, 1) },
	} {
		others()
		assert.NotContains(t, sleep(stays), false, name)
		assert.NotContains(t, sleep(3), true, "alone again after %s", name)
	}
}
