package page

import (
	"strings"
	"testing"
	"testing/fstest"
)

// TestBuildRefuses: what would be a broken page is an error when it is built.
func TestBuildRefuses(t *testing.T) {
	cases := []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"index.html": `<script src="/assets/a.js">`, "a.js": `import "./b.js"`, "b.js": `import "./a.js"`}, "import each other"},
		{map[string]string{"index.html": `<script src="/assets/a.js">`}, "a.js: no such file"},
		{map[string]string{"index.html": "", "a.exe": ""}, "unknown file type"},
	}
	for _, c := range cases {
		files := fstest.MapFS{}
		for name, text := range c.files {
			files["assets/"+name] = &fstest.MapFile{Data: []byte(text)}
		}
		if _, err := build(files, Config{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("build(%v) = %v; want an error with %q", c.files, err, c.want)
		}
	}
}

// TestNamesFollowContent: a change in a module changes the names of all that lead to it, and of no other.
func TestNamesFollowContent(t *testing.T) {
	at := func(leaf string) *site {
		s, err := build(fstest.MapFS{
			"assets/index.html": {Data: []byte(`<script type="module" src="/assets/top.js"></script>`)},
			"assets/top.js":     {Data: []byte(`import "./leaf.js";`)},
			"assets/leaf.js":    {Data: []byte(leaf)},
			"assets/other.css":  {Data: []byte(`a{}`)},
		}, Config{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := at("1"), at("2")
	same := 0
	for name := range a.assets {
		if b.assets[name] != nil {
			same++
		}
	}
	if same != 1 || a.index.hash == b.index.hash {
		t.Errorf("after a change in leaf.js %d of 3 names stayed, index changed: %v; want other.css's alone, and true", same, a.index.hash != b.index.hash)
	}
}
