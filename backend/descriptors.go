package backend

// DefaultMaxConns is how many connections a listener should have at most in a process that may have so many descriptors
// as now, by RLIMIT_NOFILE: all but a reserve for everything else. 0: there is no limit.
func DefaultMaxConns() int { return maxConnsOf(descriptorLimit()) }

// maxConnsOf is DefaultMaxConns for a limit; 0 is none.
func maxConnsOf(limit uint64) int {
	const (
		share  = 16 // one descriptor of so many is kept back
		least  = 64
		beyond = 1 << 30 // as good as no limit, such as RLIM_INFINITY
	)
	if limit >= beyond {
		return 0
	}
	reserve := min(max(limit/share, least), limit/2)
	return int(limit - reserve)
}
