package query

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
	"rollcall/query/cursor"
	"rollcall/query/replica"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// pageOf pages items that were computed, with the same orders and cursors as a
// list over the replica. Only id and document of the items need to be set.
func pageOf(items []replica.Item, fields []field, fallback string, v *values, key string) (*page, error) {
	name, descending := sorting(v.text["sort"], fallback)
	by, err := sortField(fields, name)
	if err != nil {
		return nil, err
	}
	for j := range items {
		if err := sortBy(&items[j], by); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(items, func(a, b replica.Item) int { return a.Compare(b.Place, descending) })
	scope := cursor.ScopeOf(key, name, strconv.FormatBool(descending))
	last, err := v.from(scope)
	if err != nil {
		return nil, err
	}
	if last != nil {
		from := slices.IndexFunc(items, func(it replica.Item) bool { return it.Compare(*last, descending) > 0 })
		if from < 0 {
			from = len(items)
		}
		items = items[from:]
	}
	limit := v.limit()
	if len(items) <= limit || v.all { // what was computed once is not computed for each page
		return &page{items: items}, nil
	}
	return pageUpTo(items[:limit], scope)
}

// computed is an item that no row of the replica is.
func computed(id string, document []byte) replica.Item {
	return replica.Item{Place: cursor.Place{ID: id}, Document: document}
}

// sortField finds the field that a list is sorted by.
func sortField(fields []field, name string) (field, error) {
	var all []string
	for _, f := range fields {
		if !f.scalar() {
			continue
		}
		if f.Name == name {
			return f, nil
		}
		all = append(all, f.Name)
	}
	return field{}, badRequest("can't sort by %q; want one of %s", name, strings.Join(all, ", "))
}

// sortBy sets the value that the item is sorted by.
func sortBy(it *replica.Item, f field) error {
	var found jsontext.Value
	err := members(it.Document, func(name string, value jsontext.Value) {
		if name == f.Name {
			found = slices.Clone(value)
		}
	})
	if err != nil {
		return err
	}
	kind := f.Kind
	if kind == projections.KindRatio {
		kind = projections.KindSeconds // six digits are enough to sort by
	}
	switch x := columnValue(kind, found).(type) {
	case string:
		it.Text = x
	case int64:
		it.Number = x
	}
	return nil
}
