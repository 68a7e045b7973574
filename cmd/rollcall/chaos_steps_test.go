//go:build chaos

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var stepKills = flag.Int("step-kills", 69, "kill -9s of TestChaosProjectorSteps, over all of its steps")

// TestChaosProjectorSteps kills a projector, or an operator's command, at each
// of its steps. After each kill others go on, the operator's next command works,
// and every view is verified.
func TestChaosProjectorSteps(t *testing.T) {
	steps := projectSteps()
	views := viewNames()
	for i, s := range steps {
		t.Run(strings.ReplaceAll(s.String(), " ", "-"), func(t *testing.T) {
			b := newStepBed(t, rand.Uint64())
			runs := max(1, (*stepKills+len(steps)-1-i)/len(steps))
			wrong, epochs := 0, uint64(0)
			for n := range runs {
				b.feed(t, 20)
				w, e := b.hit(t, s, views[(i+n)%len(views)])
				wrong, epochs = wrong+w, e
			}
			row := fmt.Sprintf("%-58s %5d %8d %7d %6d", s, runs, b.last, epochs, wrong)
			t.Logf("\n%s\n%s", projectHead, row)
			writeRow(t, row)
		})
	}
}
