package projections

import "rollcall/eventlog"

// artifactFold is view artifacts: a document a session with the links to its
// chat dump, transcript and summary.
type artifactFold struct{}

func (artifactFold) Name() string    { return "artifacts" }
func (artifactFold) Version() string { return "3" }

func (artifactFold) Key(ev *eventlog.Event) string {
	switch ev.Type {
	case eventlog.ChatSynced, eventlog.Transcript, eventlog.Summary:
		return ev.SessionID
	}
	return ""
}

func (artifactFold) New(key string) eventlog.State { return &artifactState{id: key} }

// artifactState is the links of one session.
type artifactState struct {
	id    string
	links [3]bestLink // chat, transcript, summary
	over  eventlog.Time
	dirty bool
}

// bestLink is the link with the latest expiry (none = earliest), then the greater
// URL: a maximum, so the order of records does not matter.
type bestLink struct {
	seen    bool
	expires eventlog.Time
	url     string
}

func (l *bestLink) merge(in bestLink) bool {
	if l.seen && (in.expires < l.expires || in.expires == l.expires && in.url <= l.url) {
		return false
	}
	*l = in
	return true
}

func (l *bestLink) put(b []byte) []byte {
	if !l.seen {
		return append(b, 0)
	}
	return putText(putTime(append(b, 1), l.expires), l.url)
}

func (l *bestLink) read(r *reader) {
	if l.seen = r.byte() != 0; !l.seen {
		return
	}
	l.expires = r.time()
	l.url = r.text()
}

func (l *bestLink) link() *Link {
	if !l.seen {
		return nil
	}
	return &Link{URL: l.url, ExpiresAt: l.expires}
}

func (s *artifactState) Apply(ev *eventlog.Event) {
	i := 0
	switch ev.Type {
	case eventlog.ChatSynced:
	case eventlog.Transcript:
		i = 1
	case eventlog.Summary:
		i = 2
	default:
		return
	}
	if ev.SessionID != s.id || s.id == "" {
		return
	}
	if s.links[i].merge(bestLink{seen: true, expires: ev.Artifact.ExpiresAt, url: ev.Artifact.URL}) {
		s.dirty = true
	}
	if ending(ev) && earliest(&s.over, ev.Order.At) {
		s.dirty = true
	}
}

// Over is later than the session's own where a meeting.ended came before the
// first artifact: this fold sees no others.
func (s *artifactState) Over() eventlog.Time { return s.over }

func (s *artifactState) Erase(w eventlog.Writer) { w.Delete(eventlog.EscapeID(s.id)) }

func (s *artifactState) Flush(w eventlog.Writer) {
	if !s.dirty {
		return
	}
	s.dirty = false
	doc := Artifacts{SessionID: s.id, Chat: s.links[0].link(), Transcript: s.links[1].link(), Summary: s.links[2].link()}
	w.Put(eventlog.EscapeID(s.id), doc.AppendJSON(nil))
	b := putTime([]byte{stateVersion}, s.over)
	for i := range s.links {
		b = s.links[i].put(b)
	}
	w.PutPart(corePart, b)
}

func (s *artifactState) Load(part string, value []byte) error {
	if part != corePart {
		return errState
	}
	r := reader{b: value}
	r.version()
	s.over = r.time()
	for i := range s.links {
		s.links[i].read(&r)
	}
	return r.done()
}

func (s *artifactState) Size() int {
	n := 256
	for i := range s.links {
		n += len(s.links[i].url)
	}
	return n
}
