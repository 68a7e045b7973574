package projections

import (
	"cmp"
	"slices"
	"strings"

	"rollcall/eventlog"
)

// downloads are the links of one record: of the one with the latest expiry (none
// = earliest), then the greater URL, then the greater of the rest. A maximum, so
// the order of records does not matter. They are kept together, in a part of
// their own, since the files can be many.
type downloads struct {
	expires    eventlog.Time
	url, audio string
	files      []File // of a track recording, which has no url
	dirty      bool
}

// downloadsPart is the part that holds downloads.
const downloadsPart = "link"

// downloadsOf returns what a status update says; seen is false where that is
// nothing.
func downloadsOf(r *eventlog.Recording) (d downloads, seen bool) {
	d = downloads{expires: r.ExpiresAt, url: r.DownloadURL, audio: r.AudioDownloadURL}
	for _, f := range r.Files {
		d.files = append(d.files, File{f.ParticipantID, f.URL, f.AudioURL})
	}
	return d, d.seen()
}

func (d *downloads) seen() bool { return d.url != "" || d.files != nil }

func compareFiles(a, b File) int {
	return cmp.Or(strings.Compare(a.ParticipantID, b.ParticipantID), strings.Compare(a.URL, b.URL), strings.Compare(a.AudioURL, b.AudioURL))
}

func (d *downloads) merge(in downloads) bool {
	if d.seen() && cmp.Or(cmp.Compare(in.expires, d.expires), strings.Compare(in.url, d.url), strings.Compare(in.audio, d.audio),
		slices.CompareFunc(in.files, d.files, compareFiles)) <= 0 {
		return false
	}
	in.dirty = true
	*d = in
	return true
}

func (d *downloads) flush(w eventlog.Writer) {
	if !d.dirty {
		return
	}
	d.dirty = false
	b := putText(putText(putTime([]byte{stateVersion}, d.expires), d.url), d.audio)
	for _, f := range d.files {
		b = putText(putText(putText(b, f.ParticipantID), f.URL), f.AudioURL)
	}
	w.PutPart(downloadsPart, b)
}

func (d *downloads) load(value []byte) error {
	r := reader{b: value}
	r.version()
	d.expires = r.time()
	d.url, d.audio = r.text(), r.text()
	for len(r.b) > 0 {
		d.files = append(d.files, File{r.text(), r.text(), r.text()})
	}
	return r.done()
}

func (d *downloads) size() int {
	n := len(d.url) + len(d.audio)
	for _, f := range d.files {
		n += 48 + len(f.ParticipantID) + len(f.URL) + len(f.AudioURL)
	}
	return n
}

// show fills the document's links. Files that a value has no room for are left
// out. That happens only where texts have many control characters.
func (d *downloads) show(doc *Recording) {
	doc.DownloadURL, doc.AudioDownloadURL, doc.DownloadURLExpiresAt = d.url, d.audio, d.expires
	if d.files == nil {
		return
	}
	room := documentBudget - len(doc.AppendJSON(nil))
	var scratch []byte
	for i := range d.files {
		scratch = d.files[i].AppendJSON(scratch[:0])
		if room -= len(scratch) + 1; room < 0 {
			doc.Files = d.files[:i]
			return
		}
	}
	doc.Files = d.files
}
