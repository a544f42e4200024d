// Package process reads what the kernel counts for a process: CPU time, context switches, memory and system calls. It
// also confines a process to CPUs. Linux only.
package process
