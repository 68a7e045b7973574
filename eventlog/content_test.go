package eventlog

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"
)

// packed compresses text with a writer of a package.
func packed[W io.WriteCloser](t testing.TB, open func(io.Writer) W, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := open(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func rawDeflate(w io.Writer) io.WriteCloser {
	f, err := flate.NewWriter(w, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	return f
}

func TestContent(t *testing.T) {
	const text = `{"event":"meeting.started","meeting":{"id":"m","sessionId":"s"}}`
	zipped := packed(t, gzip.NewWriter, text)
	for name, test := range map[string]struct {
		body     []byte
		encoding string
		want     string
	}{
		"plain":                   {[]byte(text), "", text},
		"byte order mark":         {[]byte("\xef\xbb\xbf" + text), "", text},
		"gzip":                    {zipped, "gzip", text},
		"x-gzip in capitals":      {zipped, " X-GZIP ", text},
		"gzip of a BOM":           {packed(t, gzip.NewWriter, "\xef\xbb\xbf"+text), "gzip", text},
		"deflate":                 {packed(t, zlib.NewWriter, text), "deflate", text},
		"deflate without a frame": {packed(t, rawDeflate, text), "deflate", text},
		"identity":                {[]byte(text), "identity", text},
		"twice":                   {packed(t, gzip.NewWriter, string(packed(t, zlib.NewWriter, text))), "deflate, gzip", text},
		"too often":               {zipped, "gzip, identity, identity", string(zipped)},
		"unknown":                 {zipped, "br", string(zipped)},
		"not what it says":        {[]byte(text), "gzip", text},
		"cut":                     {zipped[:len(zipped)-9], "gzip", string(zipped[:len(zipped)-9])},
		"not declared":            {zipped, "", string(zipped)},
		"bomb":                    {packed(t, gzip.NewWriter, strings.Repeat(" ", maxContent+1)), "gzip", string(packed(t, gzip.NewWriter, strings.Repeat(" ", maxContent+1)))},
	} {
		r := Record{Body: test.body, Encoding: test.encoding}
		if got := r.Content(); string(got) != test.want {
			t.Errorf("%s: Content(%.40q, %q) = %.80q; want %.80q", name, test.body, test.encoding, got, test.want)
		}
		if got, want := Decode(&r).Type.Known(), test.want == text; got != want {
			t.Errorf("%s: Decode knows the type: %v; want %v", name, got, want)
		}
		if got := Identify(r.Content()); (got.SliceKey == "m") != (test.want == text) {
			t.Errorf("%s: Identify = %+v", name, got)
		}
	}
}

// TestBombCostsItsBound: what a bomb claims is never held.
func TestBombCostsItsBound(t *testing.T) {
	bomb := packed(t, gzip.NewWriter, strings.Repeat(" ", 64<<20))
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Content(bomb, "gzip")
		}
	}).AllocedBytesPerOp()
	if allocated > 8*maxContent {
		t.Errorf("Content of a bomb allocates %d bytes; want at most %d", allocated, 8*maxContent)
	}
}
