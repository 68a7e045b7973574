package projections

import (
	"maps"
	"slices"
	"testing"

	"rollcall/eventlog"
	"rollcall/eventlog/traffic"
	"rollcall/projector"
)

// flushed keeps what a state has stored.
type flushed struct {
	documents, parts map[string][]byte
}

func (f *flushed) Put(key string, document []byte)   { f.documents[key] = document }
func (f *flushed) Delete(key string)                 { delete(f.documents, key) }
func (f *flushed) PutPart(part string, value []byte) { f.parts[part] = value }

// Erase deletes all that was ever stored, and Over needs one part alone and only
// becomes earlier, whatever comes and in whatever order.
func TestOverAndErase(t *testing.T) {
	ends := map[string]bool{"sessions": true, "attendance": true, "usage": true, "artifacts": true, "recordings": true}
	records := slices.Collect(traffic.Records(traffic.Config{Seed: 5, Sessions: 60, Duplicates: 0.2, Shuffle: true}))
	for _, fold := range All() {
		if _, ok := fold.New("x").(projector.Aging); !ok {
			if ends[fold.Name()] {
				t.Errorf("state of %s is no Aging; want one", fold.Name())
			}
			continue
		}
		states := map[string]projector.Aging{}
		stored := map[string]*flushed{}
		for i := range records {
			ev := eventlog.Decode(&records[i])
			key := fold.Key(&ev)
			if key == "" {
				continue
			}
			if states[key] == nil {
				states[key], _ = fold.New(key).(projector.Aging)
				stored[key] = &flushed{map[string][]byte{}, map[string][]byte{}}
			}
			s, before := states[key], states[key].Over()
			s.Apply(&ev)
			if now := s.Over(); before != 0 && (now == 0 || now > before) {
				t.Fatalf("%s: Over() = %v after %v; want no later one", fold.Name(), now, before)
			}
			if i%3 == 0 {
				s.Flush(stored[key])
			}
		}
		over := 0
		for key, s := range states {
			s.Flush(stored[key])
			alone, _ := fold.New(key).(projector.Aging)
			if core := stored[key].parts[projector.AgingPart]; core != nil {
				if err := alone.Load(projector.AgingPart, core); err != nil {
					t.Fatalf("%s: Load(core) = %v", fold.Name(), err)
				}
			}
			if alone.Over() != s.Over() {
				t.Errorf("%s: Over() = %v from one part; want %v", fold.Name(), alone.Over(), s.Over())
			}
			if s.Over() != 0 {
				over++
			}
			whole, _ := fold.New(key).(projector.Aging)
			for part, value := range stored[key].parts {
				if err := whole.Load(part, value); err != nil {
					t.Fatalf("%s: Load(%s) = %v", fold.Name(), part, err)
				}
			}
			whole.Erase(stored[key])
			if left := stored[key].documents; len(left) > 0 {
				t.Errorf("%s: after Erase %v is left; want nothing", fold.Name(), slices.Sorted(maps.Keys(left)))
			}
		}
		if over == 0 {
			t.Errorf("%s: nothing is over in %d entities; want some", fold.Name(), len(states))
		}
	}
}
