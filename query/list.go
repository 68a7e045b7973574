package query

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"rollcall/query/cursor"
	"rollcall/query/replica"
)

// listOf is a list over a view's table alone.
func listOf(s *replica.Snapshot, v *view) *replica.List {
	l := s.List(v.name, "s."+v.id)
	l.Orders, l.Default = v.orders(), v.order
	return l
}

// narrow applies the filters that a question names.
func narrow(l *replica.List, filters []filter, s *replica.Snapshot, c *call) {
	for _, f := range filters {
		switch {
		case !c.given(f.name):
		case f.where == nil:
			l.Filter("s."+f.name+" = ?", c.text[f.name])
		default:
			condition, args := f.where(s, c)
			l.Filter(condition, args...)
		}
	}
}

// page is one page of a list; next is "" on the last one.
type page struct {
	items []replica.Item
	next  string
}

func (p *page) docs() [][]byte {
	docs := make([][]byte, len(p.items))
	for i, it := range p.items {
		docs[i] = it.Document
	}
	return docs
}

// numbers are those of an item's extra values that are whole numbers.
func numbers(it *replica.Item, extra ...int) ([]int64, error) {
	list := make([]int64, len(extra))
	for i, at := range extra {
		var err error
		if list[i], err = strconv.ParseInt(it.Extra[at], 10, 64); err != nil {
			return nil, fmt.Errorf("read a number of a row: %w", err)
		}
	}
	return list, nil
}

// sorting splits a sort parameter.
func sorting(param, fallback string) (name string, descending bool) {
	if param == "" {
		param = fallback
	}
	name, descending = strings.CutPrefix(param, "-")
	return name, descending
}

// readPage reads one page of a list. key names the list that the cursor belongs to.
func readPage(ctx context.Context, l *replica.List, v *values, key string) (*page, error) {
	name, descending := sorting(v.text["sort"], l.Default)
	by, ok := l.Orders[name]
	if !ok {
		return nil, badRequest("can't sort by %q; want one of %s", name, strings.Join(sortedKeys(l.Orders), ", "))
	}
	scope := cursor.ScopeOf(key, name, strconv.FormatBool(descending))
	from, err := v.from(scope)
	if err != nil {
		return nil, err
	}
	limit := v.limit()
	items, err := l.Read(ctx, by, descending, from, limit+1)
	if err != nil || len(items) <= limit {
		return &page{items: items}, err
	}
	return pageUpTo(items[:limit], scope)
}

// from is the place that the cursor of a request names; nil: it has none.
func (v *values) from(scope cursor.Scope) (*cursor.Place, error) {
	text := v.text["cursor"]
	if text == "" {
		return nil, nil
	}
	p, err := cursor.Decode(text, scope)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	return &p, nil
}

// pageUpTo is a page that others follow.
func pageUpTo(items []replica.Item, scope cursor.Scope) (*page, error) {
	next, err := cursor.Encode(items[len(items)-1].Place, scope)
	return &page{items: items, next: next}, err
}
