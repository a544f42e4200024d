// Package machine describes the machine and the program that measures. Linux only.
package machine
