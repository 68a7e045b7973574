//go:build chaos

package viewstore_test

import "testing"

// TestChaosOperationFaults is the whole matrix of TestOperationFaults.
func TestChaosOperationFaults(t *testing.T) {
	runFaultCells(t, true, func(faultCell) bool { return true })
}

// TestChaosAnyPrefix is TestFoldsOnFromAnyPrefix with every prefix.
func TestChaosAnyPrefix(t *testing.T) { anyPrefix(t, 0) }
