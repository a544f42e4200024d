//go:build !unix

package backend

// descriptorLimit is how many descriptors the process may have. 0: the system has no such limit.
func descriptorLimit() uint64 { return 0 }
