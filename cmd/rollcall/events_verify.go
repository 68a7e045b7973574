package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/backup"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/ingest"
)

// eventsVerifyCmd is `rollcall events verify`.
type eventsVerifyCmd struct {
	attach.WhichLog
	console.OutputFlag
	File   []string `arg:"" optional:"" help:"Exports to check instead of a log: whether each is whole, and continues the one before."`
	Key    []string `help:"Key to check against: a file (PEM, the provider's key document, or Standard Webhooks secrets) or an https URL; repeatable." placeholder:"FILE_OR_URL"`
	After  uint64   `help:"Only records after this sequence." placeholder:"N"`
	To     uint64   `help:"Only records up to this sequence; 0 is the last." placeholder:"N"`
	Source string   `help:"Only records of this source." placeholder:"NAME"`
}

// Help is the command's example.
func (eventsVerifyCmd) Help() string {
	return `Checks the signature of every record against its body again. Exit code 5 where one does not match, or was verified
with a key that was not given. Records of a source without signatures are counted as unsigned.
With files, checks exports against their seals instead: exit code 5 where one is cut, changed or does not come next.

Examples:
  rollcall events verify --key public.pem --after 1000
  rollcall events verify monday.ndjson.zst tuesday.ndjson.zst`
}

// audit is the result, as JSON has it.
type audit struct {
	Checked  int            `json:"checked"`
	Verified int            `json:"verified"`
	Unsigned int            `json:"unsigned"`
	OtherKey int            `json:"otherKey"`
	Forged   int            `json:"forged"`
	Bad      []eventlog.Seq `json:"sequences"`
}

// maxListed bounds the sequences that are listed one by one.
const maxListed = 1000

// Run checks the range.
func (c *eventsVerifyCmd) Run(a *app) (err error) {
	if len(c.File) > 0 {
		return c.files(a)
	}
	if len(c.Key) == 0 {
		return console.Usagef("want --key, to check the log's signatures, or the exports to check")
	}
	var documents [][]byte
	for _, key := range c.Key {
		d, err := keyDocument(a.Ctx, key)
		if err != nil {
			return err
		}
		documents = append(documents, d)
	}
	auditor, err := ingest.NewAuditor(documents...)
	if err != nil {
		return console.Usagef("read --key: %w", err)
	}
	l, err := c.Attach(a.IO)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	found := audit{Bad: []eventlog.Seq{}}
	for r, err := range l.Log.Read(a.Ctx, eventlog.ReadOptions{After: eventlog.Seq(c.After), Oldest: c.After == 0, UpTo: eventlog.Seq(c.To)}) {
		if err != nil {
			return a.Left(fmt.Errorf("read log: %w", err), "%d records were checked, %d of them do not verify; nothing was changed", found.Checked, found.OtherKey+found.Forged)
		}
		if c.Source == "" || r.Source == c.Source {
			found.add(r.Seq, auditor.Check(&r))
		}
	}
	return c.show(a, found)
}

// files checks exports.
func (c *eventsVerifyCmd) files(a *app) error {
	if len(c.Key) > 0 || c.DataDir != "" || c.NATSURL != "" && a.given("nats-url") {
		return console.Usagef("exports are checked against their seals alone; leave out --key, --data-dir and --nats-url")
	}
	all, err := backup.Check(a.Ctx, c.File...)
	if console.ExitCode(err) == console.ExitUsage || errors.Is(err, context.Canceled) {
		return err
	}
	g := sealedGrid(all)
	if err != nil {
		return errors.Join(c.Print(a.Stdout, g), console.Differencef("%w", err))
	}
	return c.Print(a.Stdout, g)
}

func sealedGrid(all []backup.Checked) *console.Grid {
	g := &console.Grid{Columns: []string{"file", "sealed", "records", "after", "last", "sha256"}, Least: []string{"sha256", "after"}}
	for _, f := range all {
		g.Add(f.File, f.Sealed, f.Records, f.After, f.Last, f.SHA256)
	}
	return g
}

func (f *audit) add(seq eventlog.Seq, err error) {
	f.Checked++
	switch {
	case err == nil:
		f.Verified++
		return
	case errors.Is(err, ingest.ErrUnsigned):
		f.Unsigned++
		return
	case errors.Is(err, ingest.ErrOtherKey):
		f.OtherKey++
	default:
		f.Forged++
	}
	if len(f.Bad) < maxListed {
		f.Bad = append(f.Bad, seq)
	}
}

func (c *eventsVerifyCmd) show(a *app, f audit) error {
	var err error
	if c.Output == "json" {
		err = console.PrintJSON(a.Stdout, f)
	} else {
		g := &console.Grid{Columns: []string{"checked", "verified", "unsigned", "otherKey", "forged"}}
		g.Add(f.Checked, f.Verified, f.Unsigned, f.OtherKey, f.Forged)
		err = c.Print(a.Stdout, g)
	}
	if err != nil || len(f.Bad) == 0 {
		return err
	}
	shown := f.Bad[:min(len(f.Bad), 10)]
	return console.Differencef("%d of %d records do not verify, the first at sequences %s; `rollcall events --after %d --limit 1 -o json` shows one",
		f.OtherKey+f.Forged, f.Checked, strings.Trim(fmt.Sprint(shown), "[]"), shown[0]-1)
}

// keyDocument reads a key from a file or an https address.
func keyDocument(ctx context.Context, key string) ([]byte, error) {
	if !strings.Contains(key, "://") {
		return console.ReadSmallFile("--key", key)
	}
	if !strings.HasPrefix(key, "https://") {
		return nil, console.Usagef("--key %s: want https", console.RedactURL(key))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, key, http.NoBody)
	if err != nil {
		return nil, console.Usagef("read --key: %w", err)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // the query may be a secret
		}
		return nil, fmt.Errorf("fetch --key from %s: %w; check the address, or name a file", req.URL.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch --key: %s", resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("fetch --key: %w", err)
	}
	return b, nil
}
