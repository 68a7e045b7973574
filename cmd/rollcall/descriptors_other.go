//go:build !unix

package main

// descriptors is how many files the process may open at a time: unknown here, and
// more than the greatest limits need.
func descriptors() uint64 { return 1 << 20 }
