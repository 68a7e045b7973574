//go:build chaos

package main

import (
	"testing"
	"time"
)

// TestChaosTakeOver is the whole scenario: 500 sessions, three kills, each
// taken over within 5 s.
func TestChaosTakeOver(t *testing.T) { takeovers(t, 500, 3, 5*time.Second) }
