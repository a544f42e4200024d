// Package benchtest has what tests of several packages share: results of runs that were never made, and golden files.
package benchtest
