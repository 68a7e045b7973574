package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// site is the built page: everything it serves, in memory.
type site struct {
	index  *asset
	assets map[string]*asset // by served name, with the hash
}

// asset is one file as it is served.
type asset struct {
	served    string // name below /assets/, with the hash
	hash      string
	mediaType string
	plain     []byte
	gzipped   func() []byte // made for the first request that accepts it
}

// mediaTypes are those of the files below assets. Nothing is guessed from
// content, and nothing from the machine's own list of types.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// reference is how one asset names another: "./name.js" in an import, so that
// editors follow it, or "/assets/name".
var reference = regexp.MustCompile(`"(?:\./|/assets/)([A-Za-z0-9.-]+)"`)

// startOfTime keeps ServeContent from sending a Last-Modified: the ETag decides.
func startOfTime() time.Time { return time.Time{} }

// builder names assets by content, those that a file refers to before the file.
type builder struct {
	sources  map[string][]byte
	done     map[string]*asset
	underway []string
}

// build reads the files below assets and names them.
func build(files fs.FS, config Config) (*site, error) {
	names, err := fs.Glob(files, "assets/*")
	if err != nil {
		return nil, fmt.Errorf("list assets: %w", err)
	}
	b := &builder{sources: map[string][]byte{}, done: map[string]*asset{}}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read asset: %w", err)
		}
		b.sources[path.Base(name)] = text
	}
	b.sources["index.html"] = b.fillIn(string(b.sources["index.html"]), config)
	s := &site{assets: map[string]*asset{}}
	for name := range b.sources {
		a, err := b.asset(name)
		if err != nil {
			return nil, err
		}
		if name == "index.html" {
			s.index = a
		} else {
			s.assets[a.served] = a
		}
	}
	return s, nil
}

// fillIn puts the version and the list of modules into the index. Modules that
// are listed there load in parallel.
func (b *builder) fillIn(index string, config Config) []byte {
	var modules []string
	for name := range b.sources {
		if strings.HasSuffix(name, ".js") && name != "uplot.min.js" {
			modules = append(modules, `<link rel="modulepreload" href="/assets/`+name+`">`)
		}
	}
	slices.Sort(modules)
	index = strings.ReplaceAll(index, "<!--modules-->", strings.Join(modules, "\n"))
	return []byte(strings.ReplaceAll(index, "<!--version-->", html.EscapeString(config.Version)))
}

// asset returns a source by name, built.
func (b *builder) asset(name string) (*asset, error) {
	if a := b.done[name]; a != nil {
		return a, nil
	}
	text, ok := b.sources[name]
	if !ok {
		return nil, fmt.Errorf("find asset %s: no such file", name)
	}
	if slices.Contains(b.underway, name) {
		return nil, fmt.Errorf("name asset %s: %s import each other", name, strings.Join(b.underway, ", "))
	}
	mediaType, ok := mediaTypes[path.Ext(name)]
	if !ok {
		return nil, fmt.Errorf("serve asset %s: unknown file type", name)
	}
	b.underway = append(b.underway, name)
	text, err := b.resolve(name, text)
	if err != nil {
		return nil, err
	}
	b.underway = b.underway[:len(b.underway)-1]
	sum := sha256.Sum256(text)
	a := &asset{hash: hex.EncodeToString(sum[:6]), mediaType: mediaType, plain: text, gzipped: sync.OnceValue(func() []byte { return compress(text) })}
	ext := path.Ext(name)
	a.served = strings.TrimSuffix(name, ext) + "." + a.hash + ext
	b.done[name] = a
	return a, nil
}

// resolve replaces the references in a file of ours by served names. Vendored
// and plain text files are served as they are.
func (b *builder) resolve(name string, text []byte) ([]byte, error) {
	if strings.HasPrefix(name, "uplot.") || strings.HasSuffix(name, ".txt") {
		return text, nil
	}
	var failed error
	out := reference.ReplaceAllFunc(text, func(match []byte) []byte {
		a, err := b.asset(string(reference.FindSubmatch(match)[1]))
		if err != nil {
			failed = fmt.Errorf("%s: %w", name, err)
			return match
		}
		// Below whatever path the page is served: a module's imports are relative to it,
		// other references to the page.
		if strings.HasPrefix(string(match), `"./`) {
			return []byte(`"./` + a.served + `"`)
		}
		return []byte(`"assets/` + a.served + `"`)
	})
	return out, failed
}

// compress never fails: it writes to memory.
func compress(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}
