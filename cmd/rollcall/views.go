package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/projector/viewstore"
)

func allFolds() []eventlog.Fold { return projections.All() }

// viewNames are the views there are, in the order in which they are listed.
func viewNames() (names []string) {
	for _, f := range allFolds() {
		names = append(names, f.Name())
	}
	return names
}

// viewsCmd is `rollcall views`.
type viewsCmd struct {
	Ls    viewsLsCmd    `cmd:"" help:"List the views, or the keys of one."`
	Get   viewsGetCmd   `cmd:"" help:"Print a document, or all of a view."`
	Watch viewsWatchCmd `cmd:"" help:"Print a view's changes as they are committed."`
}

// Help is an example of its commands.
func (viewsCmd) Help() string {
	return "Examples:\n  rollcall views ls\n  rollcall views get sessions 05e57591-d89e-45c9-ae44-08dc1eaad0e0"
}

// viewError gives an error of a reader its exit code and the next step.
func viewError(err error, view string) error {
	switch {
	case errors.Is(err, viewstore.ErrNoView) && !slices.Contains(viewNames(), view):
		return console.NotFoundf("no view %q; %s", view, viewsThereAre(view))
	case errors.Is(err, viewstore.ErrNoView):
		return console.NotFoundf("view %s does not exist yet; a process with --target=project makes it", view)
	case errors.Is(err, viewstore.ErrNotFound):
		return console.NotFoundf("%w", err)
	}
	return err
}

// viewsLsCmd is `rollcall views ls`.
type viewsLsCmd struct {
	attach.ClientFlags
	console.OutputFlag
	View   string `arg:"" optional:"" help:"View whose keys to list."`
	Prefix string `help:"Only keys with this prefix." placeholder:"TEXT"`
}

// Help is the command's example.
func (viewsLsCmd) Help() string {
	return "Examples:\n  rollcall views ls\n  rollcall views ls sessions --prefix live."
}

// Run lists.
func (c *viewsLsCmd) Run(a *app) error {
	return c.WithReader(a.Ctx, func(r *viewstore.Reader) error {
		if c.View != "" {
			return c.keys(a, r)
		}
		g := &console.Grid{Columns: []string{"view", "bucket", "generation", "version", "sequence", "parked"}}
		for _, view := range viewNames() {
			alias, err := r.Alias(a.Ctx, view)
			if errors.Is(err, viewstore.ErrNoView) {
				g.Add(view, nil, nil, nil, nil, nil)
				continue
			}
			if err != nil {
				return err
			}
			at, err := r.Checkpoint(a.Ctx, alias.Bucket)
			if err != nil {
				return err
			}
			g.Add(view, alias.Bucket, alias.Generation, alias.Version, at.Sequence, at.Parked)
		}
		return c.Print(a.Stdout, g)
	})
}

func (c *viewsLsCmd) keys(a *app, r *viewstore.Reader) error {
	var keys []string
	for key, err := range r.Keys(a.Ctx, c.View, c.Prefix) {
		if err != nil {
			return viewError(err, c.View)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	g := &console.Grid{Columns: []string{"key"}, Whole: []string{"key"}}
	for _, key := range slices.Compact(keys) { // a key written during the listing comes twice
		g.Add(key)
	}
	return c.Print(a.Stdout, g)
}

// viewsGetCmd is `rollcall views get`.
type viewsGetCmd struct {
	attach.ClientFlags
	console.DocumentFlag
	View   string   `arg:"" help:"View to read."`
	Key    []string `arg:"" optional:"" help:"Key as in the bucket, or ids: a session's, or session and participant. Without it all documents are printed, one a line, by key."`
	Pretty bool     `help:"Indent the document. By default it is printed byte for byte as it is stored."`
}

// Help is the command's example.
func (viewsGetCmd) Help() string {
	return `Prints documents as they are stored, as JSON, or a row for each.

Examples:
  rollcall views get sessions 05e57591-d89e-45c9-ae44-08dc1eaad0e0
  rollcall views get attendance 05e57591-d89e-45c9-ae44-08dc1eaad0e0 user@example.com
  rollcall views get recordings --output csv`
}

// Run prints one document or all.
func (c *viewsGetCmd) Run(a *app) error {
	return c.WithReader(a.Ctx, func(r *viewstore.Reader) error {
		if len(c.Key) == 0 {
			return c.all(a, r)
		}
		for _, key := range candidateKeys(c.View, c.Key) {
			entry, err := r.Get(a.Ctx, c.View, key)
			if errors.Is(err, viewstore.ErrNotFound) {
				continue
			}
			if err != nil {
				return viewError(err, c.View)
			}
			return c.document(a.Stdout, key, entry.Value)
		}
		return console.NotFoundf("view %s has no %s; `rollcall views ls %[1]s` lists the keys", c.View, strings.Join(c.Key, " "))
	})
}

func (c *viewsGetCmd) document(w io.Writer, key string, doc []byte) error {
	if c.Output != "json" {
		return c.rows(w, []string{key}, map[string][]byte{key: doc})
	}
	if c.Pretty {
		v := jsontext.Value(slices.Clone(doc))
		if err := v.Indent(); err != nil {
			return fmt.Errorf("indent document: %w", err)
		}
		doc = v
	}
	_, err := fmt.Fprintf(w, "%s\n", doc)
	return err
}

func (c *viewsGetCmd) all(a *app, r *viewstore.Reader) error {
	entries := map[string][]byte{} // a key written during the listing comes twice
	for e, err := range r.All(a.Ctx, c.View, "") {
		if err != nil {
			return viewError(err, c.View)
		}
		entries[e.Key] = e.Value
	}
	keys := slices.Sorted(maps.Keys(entries))
	if c.Output != "json" {
		return c.rows(a.Stdout, keys, entries)
	}
	for _, key := range keys {
		if err := console.PrintLine(a.Stdout, keyedDocument{key, entries[key]}); err != nil {
			return err
		}
	}
	return nil
}

func (c *viewsGetCmd) rows(w io.Writer, keys []string, documents map[string][]byte) error {
	g := &console.Grid{Columns: []string{"key"}, Least: append([]string{"degradedSince", "implicit", "anomalies", "roomName", "endReason", "sessionId", "participantId", "recordingId", "streamId"}, leastColumns...)}
	for _, key := range keys {
		if err := g.AddDocument(documents[key], key); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return console.OutputFlag(c.DocumentFlag).Print(w, g)
}

// keyedDocument is a document with its key, for JSON.
type keyedDocument struct {
	Key      string         `json:"key"`
	Document jsontext.Value `json:"document"`
}

// candidateKeys are the keys that a user may mean: the words as a key, or as
// ids that have to be escaped.
func candidateKeys(view string, words []string) []string {
	escaped := make([]string, len(words))
	for i, w := range words {
		escaped[i] = eventlog.EscapeID(w)
	}
	keys := []string{strings.Join(escaped, "."), strings.Join(words, ".")}
	if view == "sessions" {
		keys = append(keys, "live."+escaped[0], "ended."+escaped[0])
	}
	if session, participant, ok := strings.Cut(words[0], "."); ok && len(words) == 1 {
		keys = append(keys, eventlog.EscapeID(session)+"."+eventlog.EscapeID(participant))
	}
	return slices.DeleteFunc(keys, func(k string) bool { return strings.ContainsAny(k, " *>@/\t") || k == "" })
}

// viewsWatchCmd is `rollcall views watch`.
type viewsWatchCmd struct {
	attach.ClientFlags
	console.OutputFlag
	View   string `arg:"" help:"View to follow."`
	Prefix string `help:"Only keys with this prefix." placeholder:"TEXT"`
	New    bool   `help:"Leave out what the view holds already."`
}

// Help is the command's example.
func (viewsWatchCmd) Help() string {
	return `Prints what a view holds, then its changes, across changes of generation, until it is stopped.

Example:
  rollcall views watch sessions --prefix live. --new`
}

// watched is a change as it is printed.
type watched struct {
	Kind     string         `json:"kind"`
	Key      string         `json:"key"`
	Bucket   string         `json:"bucket"`
	Revision uint64         `json:"revision"`
	Sequence eventlog.Seq   `json:"sequence"`
	Document jsontext.Value `json:"document"`
}

// Run follows until it is stopped. Changes are printed at the end of their
// commit, when the log sequence that they belong to is known.
func (c *viewsWatchCmd) Run(a *app) error {
	if !slices.Contains(viewNames(), c.View) {
		return viewError(viewstore.ErrNoView, c.View)
	}
	return c.WithReader(a.Ctx, func(r *viewstore.Reader) error {
		var held []viewstore.Change
		show, err := c.shows(a.Stdout)
		if err != nil {
			return err
		}
		loading := c.New
		var at eventlog.Seq
		for change, err := range r.Follow(a.Ctx, c.View, viewstore.Position{}) {
			if err != nil && a.Ctx.Err() == nil {
				return viewError(err, c.View)
			}
			switch change.Kind {
			case viewstore.Reset:
				held, loading = held[:0], c.New
			case viewstore.Commit:
				if !loading {
					for _, h := range held {
						if err := show(h, change.Checkpoint.Sequence); err != nil {
							return err
						}
					}
				}
				held, loading, at = held[:0], false, change.Checkpoint.Sequence
			default:
				if strings.HasPrefix(change.Key, c.Prefix) {
					held = append(held, change)
				}
			}
		}
		return a.Left(a.Ctx.Err(), "the changes up to record %d were printed; call it again to see what the view holds", at)
	})
}

// changeColumns are those of changes, and a row of what they hold as a rule.
func changeColumns() *console.Grid {
	g := &console.Grid{Columns: []string{"sequence", "kind", "key", "document"}}
	g.Add(99_999_999, "delete", "00000000-0000-0000-0000-000000000000.participant", strings.Repeat("x", 60))
	return g
}

// shows writes the head of a list of changes, and returns what writes one.
func (c *viewsWatchCmd) shows(w io.Writer) (show func(change viewstore.Change, seq eventlog.Seq) error, err error) {
	switch c.Output {
	case "json":
		return func(change viewstore.Change, seq eventlog.Seq) error {
			doc := jsontext.Value(change.Value)
			if change.Kind == viewstore.Delete {
				doc = jsontext.Value("null")
			}
			return console.PrintLine(w, watched{change.Kind.String(), change.Key, change.Bucket, change.Revision, seq, doc})
		}, nil
	case "csv":
		return func(change viewstore.Change, seq eventlog.Seq) error {
			g := &console.Grid{Rows: [][]any{{seq, change.Kind.String(), change.Key, documentText(change)}}}
			return g.CSVRows(w)
		}, (&console.Grid{Columns: changeColumns().Columns}).CSV(w)
	}
	table, err := c.Stream(w, w, changeColumns())
	return func(change viewstore.Change, seq eventlog.Seq) error {
		return table.Add(seq, change.Kind.String(), change.Key, documentText(change))
	}, err
}

// documentText is a change's document; "" where it is deleted.
func documentText(change viewstore.Change) string {
	if change.Kind == viewstore.Delete {
		return ""
	}
	return string(change.Value)
}
