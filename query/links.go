package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
)

// What a viewer does not see: records, which hold what the provider sent, and the
// links by which whoever has them gets files.

// forViewer refuses what a viewer may not ask for. An order by a link would show
// links in the cursors.
func (r *route) forViewer(sort string) error {
	if r.raw {
		return newProblem(http.StatusForbidden, "a viewer's token does not read records: use one of the role %s", RoleReader)
	}
	by, _ := sorting(sort, "")
	if slices.ContainsFunc(r.fields, func(f field) bool { return f.Name == by && f.Link }) {
		return newProblem(http.StatusForbidden, "a viewer's token does not read %s, nor sort by it: use one of the role %s", by, RoleReader)
	}
	return nil
}

// ask has a call's route answer it, without links where they are not to be seen.
func (a *API) ask(ctx context.Context, c *call) (*answer, error) {
	ans, err := c.route.answer(ctx, c)
	if err != nil || !c.viewer || len(c.route.links) == 0 {
		return ans, err
	}
	if ans.page == nil {
		ans.doc, err = withoutLinks(ans.doc, c.route.links)
		return ans, err
	}
	for i := range ans.page.items {
		it := &ans.page.items[i]
		if it.Document, err = withoutLinks(it.Document, c.route.links); err != nil {
			return nil, err
		}
	}
	return ans, nil
}

// linksOf are the members that are links, or hold one.
func linksOf(fields []field) (links []projections.Field) {
	for _, f := range fields {
		if hasLink(f.Field) {
			links = append(links, f.Field)
		}
	}
	return links
}

// hasLink reports whether a field is a link, or holds one.
func hasLink(f projections.Field) bool { return f.Link || slices.ContainsFunc(f.Members, hasLink) }

// withoutLinks is a document with null for each link.
func withoutLinks(doc []byte, fields []projections.Field) ([]byte, error) {
	out, failed := make([]byte, 0, len(doc)), error(nil)
	err := members(doc, func(name string, value jsontext.Value) {
		i := slices.IndexFunc(fields, func(f projections.Field) bool { return f.Name == name })
		if i >= 0 {
			var err error
			if value, err = withoutLink(value, fields[i]); err != nil {
				failed = err
			}
		}
		out = append(append(append(append(out, ','), quote(name)...), ':'), value...)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return []byte("{}"), nil
	}
	out[0] = '{'
	return append(out, '}'), nil
}

// withoutLink is a member's value with null for each link.
func withoutLink(value jsontext.Value, f projections.Field) (jsontext.Value, error) {
	switch {
	case f.Link:
		return jsontext.Value("null"), nil
	case !hasLink(f) || value.Kind() == 'n':
		return value, nil
	case f.Kind == projections.KindObject:
		return withoutLinks(value, f.Members)
	}
	var elements []jsontext.Value
	if err := json.Unmarshal(value, &elements); err != nil {
		return nil, fmt.Errorf("read list %s: %w", f.Name, err)
	}
	out := []byte{'['}
	for i, e := range elements {
		doc, err := withoutLinks(e, f.Members)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, doc...)
	}
	return append(out, ']'), nil
}
