package projector

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"rollcall/eventlog"
)

// finding is a difference with what is needed to look into it.
type finding struct {
	Difference
	view, log map[string]json.RawMessage
	since     map[string]eventlog.Seq
	types     map[eventlog.Seq]string
	// raw is the stored document. equal: some number of records gave exactly
	// that document, and next is the first record after which it was another.
	raw   []byte
	equal bool
	next  eventlog.Seq
}

// explain finds the fields of each difference, and the record after which they
// differ, by folding the entities again record by record.
func (v *verifier) explain(ctx context.Context) error {
	slices.SortFunc(v.found, func(a, b *finding) int { return strings.Compare(a.Key, b.Key) })
	detailed := v.found[:min(len(v.found), v.MaxDetails)]
	byEntity := make(map[string]*tracer)
	for _, f := range detailed {
		document, err := v.Viewer.Document(ctx, v.out.Bucket, f.Key)
		if err != nil {
			return err
		}
		f.raw, f.view, f.since, f.types = document, members(document), map[string]eventlog.Seq{}, map[eventlog.Seq]string{}
		if f.Entity == "" || f.Kind == KindState {
			continue
		}
		t := byEntity[f.Entity]
		if t == nil {
			t = &tracer{state: v.Projection.New(f.Entity), documents: map[string][]byte{}, keys: map[string]*finding{}}
			byEntity[f.Entity] = t
		}
		t.keys[f.Key] = f
	}
	if len(byEntity) > 0 {
		err := v.replay(ctx, v.out.Passes+1, func(ev *eventlog.Event, key string) {
			if t := byEntity[key]; t != nil {
				v.apply(t.state, ev)
				t.step(ev)
			}
		})
		if err != nil {
			return err
		}
	}
	for entity, t := range byEntity {
		v.leaveOneOut(entity, t)
	}
	for _, f := range detailed {
		f.finish()
	}
	for _, f := range v.found {
		v.out.Differences = append(v.out.Differences, f.Difference)
	}
	return nil
}

// tracer folds one entity record by record.
type tracer struct {
	state     eventlog.State
	documents map[string][]byte
	keys      map[string]*finding
	events    []*eventlog.Event // the first maxTraced + 1
}

// Put, Delete and PutPart implement eventlog.Writer.
func (t *tracer) Put(key string, document []byte) { t.documents[key] = document }

// Delete forgets the document.
func (t *tracer) Delete(key string) { delete(t.documents, key) }

// PutPart does nothing.
func (*tracer) PutPart(string, []byte) {}

// step notes, after a record was folded, which fields of the entity's documents
// differ from the view's and since which record.
func (t *tracer) step(ev *eventlog.Event) {
	if guard(func() { t.state.Flush(t) }) != nil {
		return
	}
	if len(t.events) <= maxTraced {
		t.events = append(t.events, ev)
	}
	for key, f := range t.keys {
		switch same := f.raw != nil && bytes.Equal(t.documents[key], f.raw); {
		case same:
			f.equal, f.next = true, 0
		case f.equal && f.next == 0:
			f.next = ev.Seq
			f.types[ev.Seq] = ev.Type.String()
		}
		f.log = members(t.documents[key])
		names := make(map[string]bool)
		for name := range f.log {
			names[name] = true
		}
		for name := range f.view {
			names[name] = true
		}
		for name := range names {
			switch {
			case string(f.log[name]) == string(f.view[name]):
				delete(f.since, name)
			case f.since[name] == 0:
				f.since[name] = ev.Seq
				f.types[ev.Seq] = ev.Type.String()
			}
		}
	}
}

// maxTraced bounds the records that are kept of an entity, to fold it without
// each of them.
const maxTraced = 400

// leaveOneOut finds the record without which the fold gives the stored
// document: the one that a faulty fold has lost.
func (v *verifier) leaveOneOut(entity string, t *tracer) {
	if len(t.events) > maxTraced {
		return
	}
	open := 0
	for _, f := range t.keys {
		if !f.equal && f.raw != nil {
			open++
		}
	}
	for i := 0; i < len(t.events) && open > 0; i++ {
		try := &tracer{state: v.Projection.New(entity), documents: map[string][]byte{}}
		for j, ev := range t.events {
			if i != j {
				v.apply(try.state, ev)
			}
		}
		if guard(func() { try.state.Flush(try) }) != nil {
			continue
		}
		for key, f := range t.keys {
			if f.raw != nil && !f.equal && bytes.Equal(try.documents[key], f.raw) {
				f.equal, f.next = true, t.events[i].Seq
				f.types[f.next] = t.events[i].Type.String()
				open--
			}
		}
	}
}

// finish sets the first record after which a field differs that still differs
// at the end.
func (f *finding) finish() {
	for _, name := range slices.Sorted(maps.Keys(f.since)) {
		f.Fields = append(f.Fields, FieldDiff{name, f.view[name], f.log[name]})
		if seq := f.since[name]; f.First == 0 || seq < f.First {
			f.First = seq
		}
	}
	if f.equal && f.next != 0 {
		f.First = f.next
	}
	f.FirstType = f.types[f.First]
}

// members splits a document into its members: nil for no document. One that is no
// object is the single member "".
func members(document []byte) map[string]json.RawMessage {
	if document == nil {
		return nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(document, &m); err != nil {
		text, _ := json.Marshal(string(document))
		return map[string]json.RawMessage{"": text}
	}
	return m
}
