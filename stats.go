package tandem

import "github.com/tandem-io/tandem/session"

// Stats are the figures of a Transport: the sums over its loops, the longest of each time, and those of each loop. They
// add up: BytesIn is BytesDelivered, BytesDropped and the bytes that streams hold unread; Opened is Closed and the
// streams that are open.
type Stats = session.Stats

// LoopStats are what one loop has counted since its Transport was opened, and what there is now: streams, bytes, turns,
// system calls, timers, the longest turn and callback, and what is outstanding.
type LoopStats = session.LoopStats
