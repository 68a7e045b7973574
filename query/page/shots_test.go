//go:build browser

package page_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// shots makes the pictures in docs/img anew: make shots.
var shots = flag.String("shots", "", "write a picture of each view to this folder")

const lectureRoute = "#/session/lecture-1"

// views are the page's routes, each with a text that says it is drawn.
var views = []struct{ name, route, shown string }{
	{"live", "#/live", "Weekly planning"},
	{"session", lectureRoute, "Ada Lovelace"},
	{"attendance", "#/attendance/ended-1", "Grace"},
	{"attendance-choose", "#/attendance", "Weekly planning"},
	{"person", "#/person/ada", "Ada"},
	{"recordings", "#/recordings", "rec-stuck"},
	{"livestreams", "#/livestreams", "stream-1"},
	{"usage", "#/usage", "Northwind"},
	{"pipeline", "#/pipeline", "catching-up"},
}

// TestShots draws every view in light and dark, and on a phone.
func TestShots(t *testing.T) {
	if *shots == "" {
		t.Skip("pictures are made by make shots")
	}
	s := newStandIn(t)
	scene(s)
	looks := []struct {
		name          string
		dark          bool
		width, height int
	}{{"light", false, 1280, 860}, {"dark", true, 1280, 860}, {"phone", false, 390, 844}}
	for _, v := range views {
		for _, look := range looks {
			t.Run(v.name+"-"+look.name, func(t *testing.T) {
				p := open(t, s.URL+"/"+v.route)
				p.size(look.width, look.height)
				p.dark(look.dark)
				p.text(v.shown)
				if v.name == "usage" {
					p.wait(`document.querySelector(".plot canvas")`)
				}
				p.wait(`document.getElementById("feed").classList.contains("connected")`)
				p.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))", nil)
				if err := os.WriteFile(filepath.Join(*shots, v.name+"-"+look.name+".png"), p.shot(), 0o644); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
