package eventlog

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
)

const (
	// maxContent bounds a decompressed body: a body of 256 KiB can claim a
	// thousand times that. It is a constant, since a view must not depend on a
	// setting.
	maxContent = 4 << 20
	// maxCodings bounds how often a body is compressed.
	maxCodings = 2
)

// errContent: a body is not what its Content-Encoding says, or too large.
var errContent = errors.New("body can't be decompressed")

// Content returns what a body says: decompressed, where the delivery's
// Content-Encoding asks for that, and without a byte order mark. A body that
// can't be decompressed to at most 4 MiB is returned as it is: a proxy may have
// decompressed it and left the header.
func Content(body []byte, encoding string) []byte {
	if encoding != "" {
		if plain, err := decompress(body, encoding); err == nil {
			body = plain
		}
	}
	return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
}

// Content returns what the record's body says; see the function Content.
func (r *Record) Content() []byte { return Content(r.Body, r.Encoding) }

func decompress(body []byte, encoding string) (plain []byte, err error) {
	codings := strings.Split(encoding, ",")
	if len(codings) > maxCodings {
		return nil, errContent
	}
	for i := len(codings) - 1; i >= 0; i-- { // the last one was applied last
		if body, err = inflate(body, strings.ToLower(strings.TrimSpace(codings[i]))); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// inflate undoes one coding (RFC 9110, section 8.4.1).
func inflate(body []byte, coding string) (plain []byte, err error) {
	var r io.Reader
	switch coding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		// The standard means zlib's form; some senders leave out its frame.
		if r, err = zlib.NewReader(bytes.NewReader(body)); err != nil {
			r, err = flate.NewReader(bytes.NewReader(body)), nil
		}
	default:
		return nil, errContent
	}
	if err != nil {
		return nil, errContent
	}
	plain, err = io.ReadAll(io.LimitReader(r, maxContent+1))
	if err != nil || len(plain) > maxContent {
		return nil, errContent
	}
	return plain, nil
}
