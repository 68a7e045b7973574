package replica

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"rollcall/query/cursor"
	"rollcall/query/pace"
)

// Order is what a list can be sorted by: an SQL expression that is never NULL.
type Order struct {
	Expr string
	Text bool // its values are texts, else integers
}

// List is a list over the replica: rows of a view, called s in SQL, and of the views
// joined to it.
type List struct {
	// ID is unique within the list, and breaks ties, ascending.
	ID string
	// Orders are what it can be sorted by, Default the name of one, like "-startedAt".
	Orders  map[string]Order
	Default string
	// Extra are more expressions to read for each item, as texts.
	Extra []string

	snapshot *Snapshot
	from     string
	// rows are the tables in from by alias, the view's own first: the rows that an
	// answer is made of are read whole, and checked against their sums.
	rows  []aliased
	where []string
	args  []any
}

// aliased is a table in a query.
type aliased struct {
	alias string
	table *Table
}

// Item is one row of a list: its place in the list's order, the view's document,
// and the values of Extra.
type Item struct {
	cursor.Place
	Document []byte
	Extra    []string
}

// List is a list over a view's table alone; id is an expression.
func (s *Snapshot) List(view, id string) *List {
	return &List{ID: id, snapshot: s, from: s.Table(view) + " s", rows: []aliased{{"s", s.tables[view]}}}
}

// Join adds a view's table to a list.
func (l *List) Join(view, alias, on string) {
	l.from += " JOIN " + l.snapshot.Table(view) + " " + alias + " ON " + on
	l.rows = append(l.rows, aliased{alias, l.snapshot.tables[view]})
}

// Filter limits a list to rows that meet a condition.
func (l *List) Filter(condition string, args ...any) {
	l.where = append(l.where, condition)
	l.args = append(l.args, args...)
}

// Read reads up to want items in an order: the first ones, or those after a place.
func (l *List) Read(ctx context.Context, by Order, descending bool, from *cursor.Place, want int) ([]Item, error) {
	q := reader{List: l, by: by, descending: descending, want: want}
	var err error
	if from == nil {
		err = q.run(ctx, "", nil)
	} else {
		err = q.after(ctx, *from)
	}
	return q.items, err
}

// One reads the one item of a list; ok is false where there is none.
func (l *List) One(ctx context.Context) (it Item, ok bool, err error) {
	items, err := l.Read(ctx, Order{Expr: l.ID, Text: true}, false, nil, 1)
	if err != nil || len(items) == 0 {
		return it, false, err
	}
	return items[0], true, nil
}

// reader runs the queries of a page.
type reader struct {
	*List
	by         Order
	descending bool
	want       int
	items      []Item
}

// after reads what follows a place: first the rest of the items with the same
// sort value, then those beyond it. Two plain ranges use an index; one
// condition with OR would not.
func (q *reader) after(ctx context.Context, p cursor.Place) error {
	var value any = p.Number
	if q.by.Text {
		value = p.Text
	}
	if q.by.Expr != q.ID {
		if err := q.run(ctx, q.by.Expr+" = ? AND "+q.ID+" > ?", []any{value, p.ID}); err != nil {
			return err
		}
	} else {
		value = p.ID
	}
	if len(q.items) >= q.want {
		return nil
	}
	op := " > ?"
	if q.descending {
		op = " < ?"
	}
	return q.run(ctx, q.by.Expr+op, []any{value})
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
	fmt.Fprintf(&b, "SELECT %s, k.v", q.ID)
	for _, e := range q.Extra {
		b.WriteString(", " + e)
	}
	whole := make([]*Row, len(q.rows))
	for i, r := range q.rows {
		whole[i] = newRow(r.table)
		b.WriteString(", " + r.table.allColumns(r.alias))
	}
	fmt.Fprintf(&b, " FROM (SELECT s.id AS rid, %s AS v FROM %s", q.by.Expr, q.from)
	for i, w := range where {
		b.WriteString([]string{" WHERE ", " AND "}[min(i, 1)] + "(" + w + ")")
	}
	fmt.Fprintf(&b, " ORDER BY %s%s", q.by.Expr, direction)
	if q.by.Expr != q.ID {
		b.WriteString(", " + q.ID)
	}
	fmt.Fprintf(&b, " LIMIT %d) k CROSS JOIN %s WHERE s.id = k.rid ORDER BY k.v%s, %s", q.want-len(q.items), q.from, direction, q.ID)
	return q.snapshot.Query(ctx, func(rows *sql.Rows) error { return q.scan(rows, whole) }, b.String(), append(append([]any(nil), q.args...), args...)...)
}

// scan reads an item off a row, and checks all rows that it is made of against
// their sums.
func (q *reader) scan(rows *sql.Rows, whole []*Row) error {
	pace.Yield()
	it := Item{Extra: make([]string, len(q.Extra))}
	dest := []any{&it.ID, &it.Number}
	if q.by.Text {
		dest[1] = &it.Text
	}
	for i := range it.Extra {
		dest = append(dest, &it.Extra[i])
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
	it.Document = whole[0].Document()
	q.items = append(q.items, it)
	return nil
}
