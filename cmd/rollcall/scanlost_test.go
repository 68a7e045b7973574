package main

import (
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
)

// TestLostError: one record that can't be read is a difference, and the first is named.
func TestLostError(t *testing.T) {
	if err := lostError([]scanned{}); err != nil {
		t.Errorf("lostError of nothing = %v; want nil", err)
	}
	for want, found := range map[string][]scanned{
		"1 record can't be read, the first is record 7;":  {{From: 7, To: 7}},
		"4 records can't be read, the first is record 3;": {{From: 3, To: 5}, {From: 9, To: 9}},
	} {
		if err := lostError(found); console.ExitCode(err) != console.ExitDifference || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("lostError(%v) = %v; want a difference that says %q", found, err, want)
		}
	}
}
