package main

// String names a workload in messages as the tables do.
func (w workload) String() string { return workloadTitle(w) }
