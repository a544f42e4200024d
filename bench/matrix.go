//go:build linux

package main

import "time"

// What --quick measures, and how long that may take in all. The peers are one, so that each window is long enough to
// say something.
var (
	quickImpls     = []string{"bare-epoll", "bare-uring", "tandem-epoll", "tandem-uring", "net", "gnet"}
	quickWorkloads = []workload{
		{Kind: kindEcho, Conns: 64, Size: 64, Depth: 1},
		{Kind: kindEcho, Conns: 1000, Size: 64, Depth: 1},
	}
)

const (
	quickRounds = 4 // the least that compare takes
	quickLength = 34 * time.Second
	quickLimit  = 50 * time.Second // when it is given up
	quickWindow = time.Second      // at most
)

// fullWorkloads is what --full measures, on every implementation that has the mode.
var fullWorkloads = []workload{
	{Kind: kindEcho, Conns: 1, Size: 64, Depth: 1},
	{Kind: kindEcho, Conns: 8, Size: 64, Depth: 1},
	{Kind: kindEcho, Conns: 64, Size: 64, Depth: 1},
	{Kind: kindEcho, Conns: 1000, Size: 64, Depth: 1},
	{Kind: kindEcho, Conns: 64, Size: 64, Depth: 16},
	{Kind: kindEcho, Conns: 64, Size: 16 << 10, Depth: 1},
	{Kind: kindEcho, Conns: 64, Size: 64, Depth: 1, Rate: 20_000},
	{Kind: kindFrameEcho, Conns: 64, Size: 64, Depth: 16},
	{Kind: kindConnEcho, Conns: 64, Size: 64, Depth: 1},
	{Kind: kindConnEcho, Conns: 1000, Size: 64, Depth: 1},
	{Kind: kindWorker, Conns: 64, Size: 64, Depth: 1},
	{Kind: kindFanOut, Conns: 100, Size: 64, Depth: 1},
	{Kind: kindStream, Conns: 8, Size: 16 << 10, Depth: 1},
	{Kind: kindChurn, Conns: 16, Size: 64, Depth: 1},
	{Kind: kindIdle, Conns: 5000, Size: 64, Depth: 1},
}

const (
	fullRounds = 5 // fewer than four cannot be compared
	fullLength = 19 * time.Minute
	fullWindow = 3 * time.Second // at most
	leastFit   = 200 * time.Millisecond
)

// combinations is every workload that can be made of lists.
func combinations(kinds []string, conns, sizes, depths, rates []int) []workload {
	var all []workload
	for _, k := range kinds {
		for _, c := range conns {
			for _, s := range sizes {
				for _, d := range depths {
					for _, r := range rates {
						all = append(all, workload{Kind: k, Conns: c, Size: s, Depth: d, Rate: r})
					}
				}
			}
		}
	}
	return all
}
