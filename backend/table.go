package backend

import (
	"fmt"
	"syscall"
)

// Table is what every driver has to keep about its sockets: which are attached, of which the interest has changed since
// the kernel was told, and which are due a Released. A driver embeds it and calls Setup before anything else. It
// belongs to the loop's goroutine.
//
//	Attach ─► in Slots ── SetInterest, Changed ─► FlushChanges: update(s) tells the kernel
//	             │
//	             └─ MarkReleased ─► ReportReleased: s.Owner.Released()
//
// A driver's Poll begins with ReportReleased, and calls FlushChanges before it looks for events. An interest that is
// set and taken back between two calls of Poll therefore costs one call of update, which finds nothing to do.
type Table struct {
	Slots
	changes  Changes
	released Releases
	update   func(*Socket)
	name     string
}

// Setup names the driver, for errors, and makes room for so many sockets. FlushChanges calls update for a socket whose
// interest may not be what the kernel knows.
func (t *Table) Setup(name string, room int, update func(*Socket)) {
	t.name, t.update = name, update
	t.Reserve(room)
}

// Attach implements Driver.
func (t *Table) Attach(s *Socket) error {
	s.State, s.InFlight, s.Op = 0, 0, nil
	if !t.Insert(s) {
		return fmt.Errorf("%s: attach: %w", t.name, syscall.ENOBUFS)
	}
	return nil
}

// SetInterest sets or clears bits of s.State. The kernel is told at the next FlushChanges.
func (t *Table) SetInterest(s *Socket, bits uint32, on bool) {
	if on {
		s.State |= bits
	} else {
		s.State &^= bits
	}
	t.changes.Add(s)
}

// Changed has FlushChanges call update for s.
func (t *Table) Changed(s *Socket) { t.changes.Add(s) }

// FlushChanges calls update for every socket that has changed and is still attached. Sockets that update changes are
// part of the same call.
func (t *Table) FlushChanges() { t.changes.Flush(&t.Slots, t.update) }

// MarkReleased takes s out of the table, when no request of it is in flight. The next ReportReleased calls its
// Released.
func (t *Table) MarkReleased(s *Socket) {
	t.Remove(s)
	t.released.Add(s)
}

// ReportReleased calls Released for the sockets that were detached before, and returns how many they were.
func (t *Table) ReportReleased() int { return t.released.Report() }

// Unreleased returns how many sockets have been attached and have not had their Released.
func (t *Table) Unreleased() int { return t.Len() + t.released.Len() }
