package polled_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// TestLiveness checks that each sign of life keeps a session alive that counts it, and no other.
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
			t.Run(fmt.Sprintf("%s, counting %04b", c.name, signs), func(t *testing.T) {
				clock := newManual()
				l := polled.NewLiveness(c.inner(), 10*time.Millisecond, signs)
				l.Now = clock.Now
				drive := func(after time.Duration) error {
					clock.advance(after)
					_, err := l.Drive()
					return err
				}
				require.NoError(t, drive(0))
				require.NoError(t, drive(6*time.Millisecond)) // where the sign of drive and connect is
				c.do(l)
				err := drive(6 * time.Millisecond) // 12 ms after the beginning, 6 after the sign
				if signs&c.sign != 0 || signs == 0 && c.sign != 0 {
					assert.NoError(t, err)
				} else {
					assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
				}
				assert.ErrorIs(t, drive(6*time.Millisecond), os.ErrDeadlineExceeded, "without a further sign")
				assert.Equal(t, polled.Terminated, l.Status())
			})
		}
	}
}
