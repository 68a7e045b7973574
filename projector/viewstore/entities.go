package viewstore

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"rollcall/eventlog"
	"rollcall/projector"
)

// Entities implements projector.GenerationWriter. For entities whose subjects don't hold
// their ids it keeps the ids, and a part until it has read the id.
func (w *writer) Entities(ctx context.Context, part string) iter.Seq2[projector.EntityPart, error] {
	return func(yield func(projector.EntityPart, error) bool) {
		root := stateRoot(w.bucket) + "e."
		filters := []string{root + "*." + part, root + "*." + bundlePart, root + "*." + idPart}
		apart := make(map[string]*projector.EntityPart) // by token
		for m, err := range w.store.scan(ctx, w.bucket, filters, scanOptions{}) {
			if err != nil {
				yield(projector.EntityPart{}, fmt.Errorf("read entities of %s: %w", w.bucket, err))
				return
			}
			token, name, _ := strings.Cut(strings.TrimPrefix(m.Subject, root), ".")
			if deleted(m.Header) {
				continue
			}
			parts := []projector.Part{{Name: name, Value: m.Data}}
			if name == bundlePart {
				if parts, err = unpack(m.Data); err != nil {
					continue // found when it is needed
				}
			}
			found := &projector.EntityPart{Entity: token}
			if eventlog.EscapeID(token) != token {
				if apart[token] == nil {
					apart[token] = &projector.EntityPart{}
				}
				found = apart[token]
			}
			for _, p := range parts {
				switch p.Name {
				case part:
					found.Value = p.Value
				case idPart:
					found.Entity = string(p.Value)
				}
			}
			if found.Value == nil || found.Entity == "" {
				continue
			}
			if !yield(*found, nil) {
				return
			}
			found.Value = nil
		}
	}
}
