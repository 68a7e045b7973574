package history_test

import (
	"bytes"
	"compress/gzip"
	"testing"

	"rollcall/eventlog"
	"rollcall/query/history"
)

// TestMasked shows bodies that carry a stream key in every way that was thought
// of. None may show any part of it, and what stands around it stays.
func TestMasked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, want string
		isJSON     bool
	}{
		{`{"streamKey":"s3cret","a":1}`, `{"streamKey":"***","a":1}`, true},
		{`{"a":[{"streamKey":{"b":"s3cret"}}]}`, `{"a":[{"streamKey":"***"}]}`, true},
		{`{"stream\u004bey":"s3cret"}`, `{"streamKey":"***"}`, true},
		{`{"streamKey":"s3cret","streamKey":["s3cret"]}`, `{"streamKey":"***","streamKey":"***"}`, true},
		{`{"StreamKey":"s3cret","streamkey":"s3cret","STREAM_KEY":"s3cret"}`, `{"StreamKey":"***","streamkey":"***","STREAM_KEY":"***"}`, true},
		{`{"title":"my streamKey talk"}`, `{"title":"my streamKey talk"}`, true},
		{`{"raw":"{\"streamKey\":\"s3cret, s3cret\",\"a\":1}"}`, `{"raw":"{\"streamKey\":***,\"a\":1}"}`, true},
		{`{"streamKey":"s3cret","a":`, `{"streamKey":***,"a":`, false},
		{`{"streamKey":"s3cret,s3cret}s3cret","a":`, `{"streamKey":***,"a":`, false},
		{"{\"streamKey\":\"s3cret\ns3cret\",\"a\":", `{"streamKey":***,"a":`, false},
		{`{"streamKey":"a\"s3cret\\","a":`, `{"streamKey":***,"a":`, false},
		{`{"streamKey":"s3cret`, `{"streamKey":***`, false},
		{`{"streamKey":"","a":"b`, `{"streamKey":***,"a":"b`, false},
		{`{"streamKey":["s3cret","s3cret"`, `{"streamKey":***`, false},
		{`{"\u0073tream\u004Bey" : "s3cret","a":`, `{"\u0073tream\u004Bey" : ***,"a":`, false},
		{`{"streamkey":"s3cret","STREAMKEY":"s3cret",`, `{"streamkey":***,"STREAMKEY":***,`, false},
		{`{"raw":"{\"streamKey\":\"a\\\"s3cret\",\"a\":1}",`, `{"raw":"{\"streamKey\":***,\"a\":1}",`, false},
		{`a=1&streamKey=s3cret&b=2`, `a=1&streamKey=***&b=2`, false},
		{`<streamKey>s3cret</streamKey>`, `<streamKey>***</streamKey>***`, false},
		{`plain`, `plain`, false},
		{"{\"a\":1}\r\n\t ", `{"a":1}`, true},
		{`{"a":1}}`, `{"a":1}}`, false},
		{`{"a":1} x`, `{"a":1} x`, false},
		{`{"streamKey":"s3cret"}]`, `{"streamKey":***}]`, false},
		{`{"a":1}{"streamKey":"s3cret"}`, `{"a":1}{"streamKey":***}`, false},
		{"5\x00", "5\x00", false},
	} {
		got, isJSON := history.Masked([]byte(c.body))
		if string(got) != c.want || isJSON != c.isJSON || bytes.Contains(got, []byte("s3cret")) {
			t.Errorf("Masked(%s) = %s, %v; want %s, %v", c.body, got, isJSON, c.want, c.isJSON)
		}
	}
}

// TestMaskedBody: what is compressed is read, and nothing is shown of what can't be.
func TestMaskedBody(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte(`{"streamKey":"s3cret","a":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r      eventlog.Record
		want   string
		isJSON bool
	}{
		{eventlog.Record{Body: []byte("\xef\xbb\xbf{\"streamKey\":\"s3cret\"}")}, `{"streamKey":"***"}`, true},
		{eventlog.Record{Body: zipped.Bytes(), Encoding: "gzip"}, `{"streamKey":"***","a":1}`, true},
		{eventlog.Record{Body: zipped.Bytes(), Encoding: "br"}, "", false},
		{eventlog.Record{Body: zipped.Bytes()[:zipped.Len()-9], Encoding: "gzip"}, "", false},
		{eventlog.Record{Body: []byte("plain")}, "plain", false},
	} {
		if got, isJSON := history.MaskedBody(&c.r); string(got) != c.want || isJSON != c.isJSON {
			t.Errorf("MaskedBody(%q, %q) = %s, %v; want %s, %v", c.r.Body, c.r.Encoding, got, isJSON, c.want, c.isJSON)
		}
	}
}
