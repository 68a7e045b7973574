//go:build browser

package page_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// axePath is where make browser puts axe-core, which only this test uses.
const axePath = "../../.cache/axe-core-4.14.1/axe.min.js"

// TestAccessible holds axe-core's rules (WCAG 2.2 A and AA, and best practices)
// against every view, light and dark: nothing serious or critical.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile(axePath)
	if errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatal("no axe-core; make browser fetches it")
		}
		t.Skip("no axe-core; make browser fetches it")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	for _, v := range views {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			p := blank(t)
			// axe writes markup, which the page's policy forbids; what the policy does to the page itself, the other tests see.
			p.call("Page.setBypassCSP", map[string]any{"enabled": true}, nil)
			p.visit(s.URL + "/" + v.route)
			p.text(v.shown)
			connected(p)
			if v.name == "usage" || v.name == "closing" {
				p.eval(`document.querySelectorAll("main details").forEach((d) => (d.open = true))`, nil) // what is shown on demand too
				p.wait(`[...document.querySelectorAll("main details")].some((d) => d.clientHeight > 60)`)
			}
			if v.name == "live" {
				p.size(768, 844)
				p.eval(`document.getElementById("find-open").click()`, nil)
				p.wait(`document.querySelector("#find:popover-open")`)
			}
			p.eval(string(axe)+"\n;0", nil)
			for _, dark := range []bool{false, true} {
				p.dark(dark)
				var found []string
				// Only contrast depends on the colours.
				options := `{resultTypes: ["violations"]}`
				if dark {
					options = `{resultTypes: ["violations"], runOnly: ["color-contrast"]}`
				}
				p.eval(`axe.run(document, `+options+`).then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical")
					.map((v) => v.id + " (" + v.impact + "): " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + " " + n.failureSummary).join(" | ")))`, &found)
				if len(found) > 0 {
					t.Errorf("axe on %s (dark: %v) found:\n%s", v.name, dark, strings.Join(found, "\n"))
				}
			}
		})
	}
}
