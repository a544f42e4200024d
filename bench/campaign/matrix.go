//go:build linux

package campaign

import (
	"time"

	"github.com/tandem-io/tandem/bench/workload"
)

// --quick measures these, and stays within quickLimit. It has one peer library only, so that each window is long enough
// to be useful.
var (
	QuickImpls     = []string{"bare-epoll", "bare-uring", "tandem-epoll", "tandem-uring", "net", "gnet"}
	QuickWorkloads = []workload.Workload{
		{Kind: workload.KindEcho, Conns: 64, Size: 64, Depth: 1},
		{Kind: workload.KindEcho, Conns: 1000, Size: 64, Depth: 1},
		{Kind: workload.KindTLSEcho, Conns: 64, Size: 1 << 10, Depth: 1},
		{Kind: workload.KindWSEcho, Conns: 64, Size: 64, Depth: 1},
	}
)

// The limits of --quick.
const (
	QuickRounds = 4 // the least that compare takes
	QuickLength = 40 * time.Second
	QuickLimit  = 50 * time.Second // when it is given up
	QuickWindow = time.Second      // at most
	QuickWarmup = 100 * time.Millisecond
)

// FullWorkloads is what --full measures, on every implementation that has the mode.
var FullWorkloads = []workload.Workload{
	{Kind: workload.KindEcho, Conns: 1, Size: 64, Depth: 1},
	{Kind: workload.KindEcho, Conns: 8, Size: 64, Depth: 1},
	{Kind: workload.KindEcho, Conns: 64, Size: 64, Depth: 1},
	{Kind: workload.KindEcho, Conns: 1000, Size: 64, Depth: 1},
	{Kind: workload.KindEcho, Conns: 64, Size: 64, Depth: 16},
	{Kind: workload.KindEcho, Conns: 64, Size: 16 << 10, Depth: 1},
	{Kind: workload.KindEcho, Conns: 64, Size: 64, Depth: 1, Rate: 20_000},
	{Kind: workload.KindFrameEcho, Conns: 64, Size: 64, Depth: 16},
	{Kind: workload.KindConnEcho, Conns: 1, Size: 64, Depth: 1},
	{Kind: workload.KindConnEcho, Conns: 64, Size: 64, Depth: 1},
	{Kind: workload.KindConnEcho, Conns: 64, Size: 64, Depth: 1, Procs: 2},
	{Kind: workload.KindConnEcho, Conns: 1000, Size: 64, Depth: 1},
	{Kind: workload.KindConnEcho, Conns: 64, Size: 16 << 10, Depth: 1},
	{Kind: workload.KindWorker, Conns: 64, Size: 64, Depth: 1},
	{Kind: workload.KindFanOut, Conns: 100, Size: 64, Depth: 1},
	{Kind: workload.KindStream, Conns: 8, Size: 16 << 10, Depth: 1},
	{Kind: workload.KindChurn, Conns: 16, Size: 64, Depth: 1},
	{Kind: workload.KindIdle, Conns: 5000, Size: 64, Depth: 1},
	{Kind: workload.KindTLSEcho, Conns: 64, Size: 1 << 10, Depth: 1},
	{Kind: workload.KindTLSEcho, Conns: 64, Size: 1 << 10, Depth: 1, Procs: 2},
	{Kind: workload.KindTLSFull, Conns: 16, Size: 64, Depth: 1},
	{Kind: workload.KindTLSResume, Conns: 16, Size: 64, Depth: 1},
	{Kind: workload.KindTLSIdle, Conns: 2000, Size: 1 << 10, Depth: 1},
	{Kind: workload.KindWSEcho, Conns: 64, Size: 64, Depth: 1},
	{Kind: workload.KindWSEcho, Conns: 64, Size: 1 << 10, Depth: 1},
	{Kind: workload.KindHTTP, Conns: 64, Size: len(workload.Hello), Depth: 1},
	{Kind: workload.KindHTTP, Conns: 64, Size: len(workload.Hello), Depth: 16},
	{Kind: workload.KindHTTPStd, Conns: 64, Size: len(workload.Hello), Depth: 1},
}

// The limits of --full.
const (
	FullRounds = 5 // fewer than four cannot be compared
	FullLength = 1190 * time.Second
	FullWindow = 3 * time.Second // at most
	LeastFit   = 200 * time.Millisecond
)

// Combinations is every workload that can be made of lists.
func Combinations(kinds []string, conns, sizes, depths, rates []int) []workload.Workload {
	var all []workload.Workload
	for _, k := range kinds {
		for _, c := range conns {
			for _, s := range sizes {
				for _, d := range depths {
					for _, r := range rates {
						all = append(all, workload.Workload{Kind: k, Conns: c, Size: s, Depth: d, Rate: r})
					}
				}
			}
		}
	}
	return all
}
