//go:build browser

package page_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// shots rewrites the pictures in docs/img: make shots.
var shots = flag.String("shots", "", "write a picture of each view to this folder")

const lectureRoute = "#/session/lecture-1"

// views are the page's routes, each with a text that says it is drawn.
var views = []struct{ name, route, shown string }{
	{"live", "#/live", "Weekly planning"},
	{"session", lectureRoute, "Ada Lovelace"},
	{"attendance", "#/attendance/ended-1", "Grace"},
	{"stay", "#/attendance/ended-1/ada", "0:09:00"},
	{"records", "#/session/ended-1?records=open", "recording.statusUpdate"},
	{"as-known-at", fmt.Sprintf("%s?asOf=%d", lectureRoute, minute(3.2).UnixMilli()), "into the session"},
	{"attendance-choose", "#/attendance", "Weekly planning"},
	{"people", "#/people?q=grace", "grace.h@college.example"},
	{"person", "#/person/ada", "Ada"},
	{"recordings", "#/recordings", "rec-stuck"},
	{"livestreams", "#/livestreams", "stream-1"},
	{"usage", "#/usage", "Northwind"},
	{"closings", "#/closings", "2026-10"},
	{"closing", "#/closings/2026-10.Europe.Berlin", "Changed since"},
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
				if v.name == "pipeline" {
					p.wait(`document.querySelector("td .spark path")`)
				}
				if v.name == "usage" {
					p.wait(`document.querySelector(".plot canvas")`)
				}
				p.wait(`document.getElementById("feed").classList.contains("connected")`)
				p.settled()
				if err := os.WriteFile(filepath.Join(*shots, v.name+"-"+look.name+".png"), small(t, p.shot()), 0o644); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// small rewrites a picture with its 256 most frequent colours: a page has few.
func small(t *testing.T, picture []byte) []byte {
	t.Helper()
	from, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[color.RGBA]int{}
	size := from.Bounds()
	for y := range size.Dy() {
		for x := range size.Dx() {
			counts[color.RGBAModel.Convert(from.At(x, y)).(color.RGBA)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return cmp.Compare(counts[b], counts[a]) })
	var palette color.Palette
	for _, c := range colors[:min(len(colors), 256)] {
		palette = append(palette, c)
	}
	nearest := map[color.RGBA]uint8{}
	for c := range counts {
		nearest[c] = uint8(palette.Index(c))
	}
	to := image.NewPaletted(size, palette)
	for y := range size.Dy() {
		for x := range size.Dx() {
			to.SetColorIndex(x, y, nearest[color.RGBAModel.Convert(from.At(x, y)).(color.RGBA)])
		}
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, to); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
