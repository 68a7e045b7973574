package query

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"rollcall/query/pace"
)

// order is what a list can be sorted by: an SQL expression that is never NULL.
type order struct {
	expr string
	text bool // its values are texts, else integers
}

// listing is a list over the replica.
type listing struct {
	from string // the view's table as s, and what is joined to it
	// rows are the tables in from by alias, the view's as s first: the rows that
	// an answer is made of are read whole, and held against their sums.
	rows  []aliased
	where []string
	args  []any
	// id is unique within the list, and breaks ties, ascending.
	id     string
	orders map[string]order
	// fallback is the order when none is asked for, like "-startedAt".
	fallback string
	// extra are more expressions to read for each item, as texts.
	extra []string
}

// aliased is a table in a query.
type aliased struct {
	alias string
	table *table
}

// listing is a list over a view's table alone.
func (s *snapshot) listing(v *view) *listing {
	return &listing{from: s.table(v.name) + " s", rows: []aliased{{"s", s.tables[v.name]}}, id: "s." + v.id, orders: v.orders(), fallback: v.order}
}

// join adds a table to a list.
func (l *listing) join(s *snapshot, view, alias, on string) {
	l.from += " JOIN " + s.table(view) + " " + alias + " ON " + on
	l.rows = append(l.rows, aliased{alias, s.tables[view]})
}

func (l *listing) filter(condition string, args ...any) {
	l.where = append(l.where, condition)
	l.args = append(l.args, args...)
}

// narrow applies the filters that a question names.
func (l *listing) narrow(filters []filter, s *snapshot, c *call) {
	for _, f := range filters {
		switch {
		case !c.given(f.name):
		case f.where == nil:
			l.filter("s."+f.name+" = ?", c.text[f.name])
		default:
			condition, args := f.where(s, c)
			l.filter(condition, args...)
		}
	}
}

// item is one row of a list.
type item struct {
	id    string
	text  string // the value it is sorted by
	num   int64
	doc   []byte
	extra []string
}

// page is one page of a list; next is "" on the last one.
type page struct {
	items []item
	next  string
}

func (p *page) docs() [][]byte {
	docs := make([][]byte, len(p.items))
	for i, it := range p.items {
		docs[i] = it.doc
	}
	return docs
}

// sorting splits a sort parameter.
func sorting(param, fallback string) (name string, descending bool) {
	if param == "" {
		param = fallback
	}
	name, descending = strings.CutPrefix(param, "-")
	return name, descending
}

// page reads one page. key says what the cursor is good for.
func (l *listing) page(ctx context.Context, s *snapshot, v *values, key string) (*page, error) {
	name, descending := sorting(v.text["sort"], l.fallback)
	by, ok := l.orders[name]
	if !ok {
		return nil, badRequest("can't sort by %q; want one of %s", name, strings.Join(sortedKeys(l.orders), ", "))
	}
	sc := scope(key, name, fmt.Sprint(descending))
	limit := v.limit()
	q := reader{listing: l, by: by, descending: descending, snapshot: s, want: limit + 1}
	var err error
	if text := v.text["cursor"]; text != "" {
		var c cursor
		if c, err = decodeCursor(text, sc); err != nil {
			return nil, err
		}
		err = q.after(ctx, c)
	} else {
		err = q.run(ctx, "", nil)
	}
	if err != nil {
		return nil, err
	}
	p := &page{items: q.items}
	if len(p.items) <= limit {
		return p, nil
	}
	p.items = p.items[:limit]
	last := p.items[limit-1]
	p.next, err = cursor{Text: last.text, Number: last.num, ID: last.id}.encode(sc)
	return p, err
}

// reader runs the queries of a page.
type reader struct {
	*listing
	by         order
	descending bool
	snapshot   *snapshot
	want       int
	items      []item
}

// after reads what follows a cursor: first the rest of the items with the same
// sort value, then those behind. Two plain ranges use an index where one
// condition with OR would not.
func (q *reader) after(ctx context.Context, c cursor) error {
	var value any = c.Number
	if q.by.text {
		value = c.Text
	}
	if q.by.expr != q.id {
		if err := q.run(ctx, q.by.expr+" = ? AND "+q.id+" > ?", []any{value, c.ID}); err != nil {
			return err
		}
	} else {
		value = c.ID
	}
	if len(q.items) >= q.want {
		return nil
	}
	op := " > ?"
	if q.descending {
		op = " < ?"
	}
	return q.run(ctx, q.by.expr+op, []any{value})
}

// run reads the items that also meet condition.
func (q *reader) run(ctx context.Context, condition string, args []any) error {
	where := q.where
	if condition != "" {
		where = append(append([]string(nil), where...), condition)
	}
	direction := ""
	if q.descending {
		direction = " DESC"
	}
	// The rows are chosen first, by row id alone: documents and computed
	// fields are read for those of the page only.
	var b strings.Builder
	fmt.Fprintf(&b, "SELECT %s, k.v", q.id)
	for _, e := range q.extra {
		b.WriteString(", " + e)
	}
	whole := make([]*wholeRow, len(q.rows))
	for i, r := range q.rows {
		whole[i] = newWholeRow(r.table)
		b.WriteString(", " + r.table.allColumns(r.alias))
	}
	fmt.Fprintf(&b, " FROM (SELECT s.id AS rid, %s AS v FROM %s", q.by.expr, q.from)
	for i, w := range where {
		b.WriteString([]string{" WHERE ", " AND "}[min(i, 1)] + "(" + w + ")")
	}
	fmt.Fprintf(&b, " ORDER BY %s%s", q.by.expr, direction)
	if q.by.expr != q.id {
		b.WriteString(", " + q.id)
	}
	fmt.Fprintf(&b, " LIMIT %d) k CROSS JOIN %s WHERE s.id = k.rid ORDER BY k.v%s, %s", q.want-len(q.items), q.from, direction, q.id)
	return q.snapshot.each(ctx, func(rows *sql.Rows) error { return q.scan(rows, whole) }, b.String(), append(append([]any(nil), q.args...), args...)...)
}

func (q *reader) scan(rows *sql.Rows, whole []*wholeRow) error {
	pace.Yield()
	it := item{extra: make([]string, len(q.extra))}
	dest := []any{&it.id, &it.num}
	if q.by.text {
		dest[1] = &it.text
	}
	for i := range it.extra {
		dest = append(dest, &it.extra[i])
	}
	for _, w := range whole {
		dest = w.into(dest)
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	for _, w := range whole {
		if err := w.check(); err != nil {
			return err
		}
	}
	it.doc = whole[0].doc()
	q.items = append(q.items, it)
	return nil
}
