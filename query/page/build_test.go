package page

import (
	"mime"
	"net/http"
	"net/http/httptest"
	"path"
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

// TestOthersAreServedAsTheyAre: references in vendored and plain files are none of
// ours, modules alone load ahead, and a machine's own list of types changes nothing.
func TestOthersAreServedAsTheyAre(t *testing.T) {
	if err := mime.AddExtensionType(".css", "text/x-other"); err != nil {
		t.Fatal(err)
	}
	const refers = `see "./leaf.js"`
	s, err := build(fstest.MapFS{
		"assets/index.html":   {Data: []byte("<!--modules-->")},
		"assets/leaf.js":      {Data: []byte("1")},
		"assets/uplot.min.js": {Data: []byte(refers)},
		"assets/a.txt":        {Data: []byte(refers)},
		"assets/a.css":        {Data: []byte("a{}")},
	}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".txt": "text/plain; charset=utf-8"}
	for name, a := range s.assets {
		if text := string(a.plain); strings.Contains(text, "see") && text != refers {
			t.Errorf("%s is served as %q; want it as it is", name, text)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/assets/"+name, nil))
		if got := w.Header().Get("Content-Type"); got != types[path.Ext(name)] || w.Code != http.StatusOK {
			t.Errorf("GET %s = %d of type %q; want %q", name, w.Code, got, types[path.Ext(name)])
		}
	}
	if index := string(s.index.plain); strings.Count(index, "modulepreload") != 1 || !strings.Contains(index, "assets/leaf.") {
		t.Errorf("index = %q; want leaf.js alone to load ahead", index)
	}
}
