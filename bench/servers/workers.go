//go:build linux

package servers

import (
	"runtime"
	"sync"
)

// answerer is a connection to which a worker writes. It owns the bytes, and returns them with giveBytes when they are
// written or lost.
type answerer interface{ answer(p *[]byte) }

// workers are goroutines that write answers in place of the loop, as in a server that passes requests on to others. One
// connection always uses the same worker, so that its answers keep their order.
type workers struct {
	queues  []chan job
	running sync.WaitGroup
}

type job struct {
	to    answerer
	bytes *[]byte
}

// workerQueue is how many answers may wait for a worker before the loop has to.
const workerQueue = 16 << 10

// startWorkers starts one for each CPU that Go uses.
func startWorkers() *workers {
	w := &workers{queues: make([]chan job, runtime.GOMAXPROCS(0))}
	for i := range w.queues {
		queue := make(chan job, workerQueue)
		w.queues[i] = queue
		w.running.Go(func() {
			for j := range queue {
				j.to.answer(j.bytes)
			}
		})
	}
	return w
}

// hand copies p and passes it to the worker that key selects.
func (w *workers) hand(key uint64, to answerer, p []byte) {
	b := takeBytes()
	*b = append(*b, p...)
	w.queues[key%uint64(len(w.queues))] <- job{to, b}
}

// stop waits until all answers are written. hand must not be called any more.
func (w *workers) stop() {
	for _, q := range w.queues {
		close(q)
	}
	w.running.Wait()
}

// answerBytes recycles the memory of answers, so that the cost of a worker is that of passing on, not of allocating.
var answerBytes = sync.Pool{New: func() any { return new([]byte) }}

func takeBytes() *[]byte {
	b := answerBytes.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

func giveBytes(b *[]byte) { answerBytes.Put(b) }
