package query

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// pageOf pages items that were computed, with the same orders and cursors as a
// list over the replica. Only id and doc of the items need to be set.
func pageOf(items []item, fields []field, fallback string, v *values, key string) (*page, error) {
	name, descending := sorting(v.text["sort"], fallback)
	by, err := sortField(fields, name)
	if err != nil {
		return nil, err
	}
	for j := range items {
		if err := items[j].sortBy(by); err != nil {
			return nil, err
		}
	}
	compare := itemOrder(descending)
	slices.SortFunc(items, compare)
	sc := scope(key, name, fmt.Sprint(descending))
	if text := v.text["cursor"]; text != "" {
		c, err := decodeCursor(text, sc)
		if err != nil {
			return nil, err
		}
		last := item{id: c.ID, text: c.Text, num: c.Number}
		from, _ := slices.BinarySearchFunc(items, last, func(a, b item) int {
			if compare(a, b) <= 0 {
				return -1
			}
			return 1
		})
		items = items[from:]
	}
	limit := v.limit()
	if len(items) <= limit || v.all { // what was computed once is not computed for each page
		return &page{items: items}, nil
	}
	last := items[limit-1]
	next, err := cursor{Text: last.text, Number: last.num, ID: last.id}.encode(sc)
	return &page{items: items[:limit], next: next}, err
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

// itemOrder compares items by their sort value, then by id, which is ascending
// always.
func itemOrder(descending bool) func(a, b item) int {
	return func(a, b item) int {
		c := cmp.Or(cmp.Compare(a.num, b.num), strings.Compare(a.text, b.text))
		if descending {
			c = -c
		}
		return cmp.Or(c, strings.Compare(a.id, b.id))
	}
}

// sortBy sets the value that the item is sorted by.
func (it *item) sortBy(f field) error {
	var found jsontext.Value
	err := members(it.doc, func(name string, value jsontext.Value) {
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
		it.text = x
	case int64:
		it.num = x
	}
	return nil
}
