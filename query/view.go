package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/projections"
	"rollcall/query/replica"
)

// view is a view as readers get it. What it says is what does not follow from the
// fields of its documents; the replica's table, the routes, their parameters and
// orders, the schema, CSV, and the lists of views follow from it and from them.
type view struct {
	// name is its fold's.
	name string
	// item names the schema of a document, noun one document in an answer's text where the
	// view is not special.
	item, noun string
	// id is the member that is unique in a list, and stands in the path
	// of one.
	id string
	// order is that of a list where none is asked for, like "-startedAt".
	order   string
	filters []filter
	// asked are the members that are computed when somebody asks.
	asked []field
	// csv gives the cells of members for which their kind does not say it.
	csv map[string]*csvField
	// kept are the members that the replica has columns for; nil: all scalar ones.
	kept []string
	// derived are columns that are no members.
	derived []column
	// indexes are lists of columns; they are made after the first load.
	indexes []string
	// search names the members that a filter of kind paramSearch looks in.
	search []string
	// special: the view has no list and item of its own; see API.table.
	special bool

	// fields are the document's and those asked, in the order of an answer. They
	// are set by join.
	fields []field
}

// filter is a parameter that narrows a list down.
type filter struct {
	param
	// where gives the condition; nil: the column of its name has the value.
	where func(s *replica.Snapshot, c *call) (condition string, args []any)
}

// declared are the views, in the order in which they are listed.
func declared() []*view {
	return []*view{sessionsView(), attendanceView(), recordingsView(), artifactsView(), livestreamsView(), usageView()}
}

// views returns all views, or says which half of one is missing.
func views() ([]*view, error) { return join(projections.Views(), declared()) }

// Complete says which view has a fold and no read side, or the reverse. A program
// calls it before it starts anything.
func Complete() error {
	_, err := views()
	return err
}

// join gives each view the fields of the documents that its fold makes.
func join(made []projections.View, read []*view) ([]*view, error) {
	var wrong []error
	for _, m := range made {
		if !slices.ContainsFunc(read, func(v *view) bool { return v.name == m.Fold.Name() }) {
			wrong = append(wrong, fmt.Errorf("view %s has a fold, and nothing that says how it is read: add it to declared in query", m.Fold.Name()))
		}
	}
	for _, v := range read {
		i := slices.IndexFunc(made, func(m projections.View) bool { return m.Fold.Name() == v.name })
		if i < 0 {
			wrong = append(wrong, fmt.Errorf("view %s is read, and no fold makes it: add it to Views in projections", v.name))
			continue
		}
		v.setFields(made[i].Fields)
		wrong = append(wrong, v.check())
	}
	return read, errors.Join(wrong...)
}

func (v *view) setFields(stored []projections.Field) {
	v.fields = make([]field, 0, len(stored)+len(v.asked))
	for _, f := range stored {
		v.fields = append(v.fields, field{Field: f, csv: v.csv[f.Name]})
	}
	for _, f := range v.asked {
		f.asked = true
		v.fields = append(v.fields, f)
	}
}

// check finds names in the declaration that mean nothing.
func (v *view) check() error {
	known := []string{"search"}
	for _, c := range v.columns() {
		known = append(known, c.name)
	}
	names := append(slices.Clone(v.kept), v.search...)
	for _, columns := range v.indexes {
		names = append(names, strings.Split(columns, ", ")...)
	}
	if !v.special {
		names = append(names, v.id, strings.TrimPrefix(v.order, "-"))
	}
	for _, f := range v.filters {
		if f.where == nil {
			names = append(names, f.name)
		}
	}
	for name := range v.csv {
		if !slices.ContainsFunc(v.fields, func(f field) bool { return f.Name == name }) {
			return fmt.Errorf("view %s: it has cells for %s, which is no member of its documents", v.name, name)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("view %s: it names %q, which is no column of it; its columns are %s", v.name, name, strings.Join(known, ", "))
		}
	}
	return nil
}

// columns are what the replica extracts from a document.
func (v *view) columns() []column {
	var cols []column
	for _, f := range v.fields {
		if f.stored() && (v.kept == nil || slices.Contains(v.kept, f.Name)) {
			cols = append(cols, column{name: f.Name, kind: f.Kind})
		}
	}
	return append(cols, v.derived...)
}

// orders are what a list of the view can be sorted by.
func (v *view) orders() map[string]replica.Order {
	orders := map[string]replica.Order{}
	for _, c := range v.columns() {
		orders[c.name] = replica.Order{Expr: "s." + c.name, Text: c.kind.Text()}
	}
	return orders
}

// params are the parameters of the view's list.
func (v *view) params() []param {
	list := make([]param, len(v.filters))
	for i, f := range v.filters {
		list[i] = f.param
	}
	return list
}

// some are the fields of these names, in the order of the document.
func (v *view) some(names ...string) []field {
	return slices.DeleteFunc(slices.Clone(v.fields), func(f field) bool { return !slices.Contains(names, f.Name) })
}
