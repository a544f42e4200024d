package backend

import "time"

// monitor keeps the runtime's monitor calm; sysmon and retake in runtime/proc.go. Where there is one processor, the
// monitor takes it from a goroutine that has been in one system call for two of its looks, or that has not gone through the
// scheduler for 10 ms. Behind that it looks every 20 µs again, which costs more than the loop does, and sees the next sleep
// as well. If it has taken no processor in 50 looks, it looks less and less often, at last every 10 ms, and then it no
// longer takes one in a sleep of a few milliseconds.
//
// So a loop that finds the monitor busy holds its processor in its sleeps for long enough to calm it. What makes it busy
// again is a longer sleep, a garbage collection, or a system call of another goroutine.
//
// Nothing tells what the monitor does. But the loop knows how often it has slept itself, and the kernel how often all
// threads of the process have: where the difference is large, it is the monitor, or others are at work, for whom the price
// of a mistake is small.
type monitor struct {
	switches func() int64 // how often threads of the process have slept
	looked   int64        // when that was last asked
	before   int64        // what the answer was
	until    int64        // until when the loop holds its processor
	next     int64        // when it may do so again
}

const (
	monitorCalms = int64(30 * time.Millisecond) // 50 looks, and then 20 µs to 10 ms in steps that double
	monitorRests = int64(250 * time.Millisecond)
)

// watch is called at the end of each span in which the loop has slept often, with the number of sleeps since it began.
func (m *monitor) watch(began, now int64, sleeps int) {
	switches := m.switches()
	others := switches - m.before - int64(sleeps)
	known := m.looked == began
	m.looked, m.before = now, switches
	if known && others*int64(time.Millisecond) > now-began && now >= m.next {
		m.until, m.next = now+monitorCalms, now+monitorRests
	}
}
