package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/cmd/rollcall/internal/provider"
	"rollcall/eventlog/traffic"
	"rollcall/eventlog/wire"
	"rollcall/projector/viewstore"
)

// demoCmd is `rollcall demo`.
type demoCmd struct {
	Duration   time.Duration `help:"End after this time; 0 goes on until Ctrl-C." default:"0" placeholder:"DURATION"`
	DataDir    string        `help:"Keep the data here; by default it is in a temporary directory that is removed at the end." type:"path" placeholder:"DIR"`
	Seed       uint64        `help:"Seed of the traffic; 0 takes the clock." default:"0" placeholder:"N"`
	IngestAddr string        `help:"Address for webhooks." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	APIAddr    string        `name:"api-addr" help:"Address of the read API and the page." default:"127.0.0.1:8081" placeholder:"HOST:PORT"`
	AdminAddr  string        `help:"Address of /livez, /readyz and /metrics." default:"127.0.0.1:8082" placeholder:"HOST:PORT"`
	NATSListen string        `name:"nats-listen" help:"Address of the embedded NATS server." default:"127.0.0.1:4222" placeholder:"HOST:PORT"`
	ReadyFile  string        `help:"File to write the real addresses to, as JSON, once everything runs." type:"path" placeholder:"FILE"`
	console.TableFlags
}

// Help is the command's example.
func (demoCmd) Help() string {
	return `Runs everything in one process, with a key pair of its own and meetings that start and end within seconds, posted
as signed webhooks over HTTP to its own ingester. Three things that go wrong are staged: a recording that gets stuck, a
ghost meeting, and somebody who leaves after the end. Where to look at each is on the screen.

Example:
  rollcall demo --duration 1m`
}

// Run runs the demo.
func (c *demoCmd) Run(a *app) (err error) {
	ctx := a.Ctx
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	dir := c.DataDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "rollcall-demo-"); err != nil {
			return fmt.Errorf("make directory for the demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	key, err := demoKey(dir)
	if err != nil {
		return err
	}
	serve := serveCmd{
		Target: []string{node.TargetAll}, IngestAddr: c.IngestAddr, APIAddr: c.APIAddr, AdminAddr: c.AdminAddr, NATSListen: c.NATSListen,
		DataDir: dir, ReadyFile: c.ReadyFile, Source: []string{"demo=rsa:" + filepath.Join(dir, "public.pem")},
		AuditInterval: 20 * time.Second, AuditSample: 1,
		MaxBytes: "0", CacheBytes: "64MiB", StopTimeout: 25 * time.Second,
		ingestFlags: ingestFlags{MaxBody: "256KiB"},
	}
	cfg, err := serve.config(a)
	if err != nil {
		return err
	}
	n := node.New(cfg, c.quiet(a))
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := n.Run(gctx)
		if err == nil && gctx.Err() != nil {
			return gctx.Err() // stopped, as it should be
		}
		return err
	})
	group.Go(func() error {
		select {
		case <-n.Ready:
			return c.show(gctx, a, n, key, dir)
		case <-gctx.Done():
			return nil
		}
	})
	err = group.Wait()
	// A request that was on its way ends with the cause, not with ctx's own error.
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Cause(ctx))) {
		c.farewell(a.Stdout, dir)
		return nil
	}
	return err
}

// quiet hides informational log lines; --log-level debug
// shows everything.
func (c *demoCmd) quiet(a *app) zerolog.Logger {
	if a.level.Least() == zerolog.InfoLevel {
		return a.Logger.Level(zerolog.WarnLevel)
	}
	return a.Logger
}

// demoKey makes the demo's key pair, or reads that of an earlier demo.
func demoKey(dir string) (provider.Key, error) {
	if _, err := os.Stat(filepath.Join(dir, "private.pem")); err == nil {
		return provider.ReadKey(filepath.Join(dir, "private.pem"))
	}
	s, err := provider.NewKey()
	if err != nil {
		return provider.Key{}, err
	}
	_, _, err = s.Write(dir, false)
	return s, err
}

// self is how the user can call this program again.
func self() string {
	path, err := os.Executable()
	if err != nil || strings.Contains(path, "go-build") {
		return "go run ./cmd/rollcall"
	}
	return filepath.Base(path)
}

// show posts traffic and shows what becomes of it.
func (c *demoCmd) show(ctx context.Context, a *app, n *node.Node, key provider.Key, dir string) error {
	at := n.Addresses()
	p, err := provider.NewPoster("http://"+at.Ingest+"/webhooks/demo", &key, 4)
	if err != nil {
		return err
	}
	defer p.Close()
	nc, err := n.Embedded.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	plan := c.traffic(time.Now())
	fmt.Fprint(a.Stdout, hints(at, dir), staged(at, traffic.Scenes(plan)))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.post(ctx, p, plan) })
	group.Go(func() error {
		board := &board{out: a.Stdout, as: c.TableFlags, live: console.IsTerminal(a.Stdout)}
		return board.run(ctx, viewstore.NewReader(js))
	})
	return group.Wait()
}

// hints says where to look, with commands that can be copied as they are.
func hints(at node.Addresses, dir string) string {
	var b strings.Builder
	b.WriteString("\nRollcall is running. Meetings start and end within seconds; every event comes in as a signed webhook.\n\n")
	line := func(what, how string) { fmt.Fprintf(&b, "  %-12s %s\n", what, how) }
	line("page", "http://"+at.API+"/")
	line("live now", "curl -s http://"+at.API+"/v1/meetings/live")
	line("attendance", "curl -s 'http://"+at.API+"/v1/sessions?status=ENDED&limit=1'")
	if at.NATS != "" {
		flag := ""
		if at.NATS != "nats://127.0.0.1:4222" {
			flag = " --nats-url " + at.NATS
		}
		line("views", self()+" views watch sessions"+flag)
		line("log", self()+" events --follow"+flag)
		line("over NATS", "nats sub 'rollcall.views.>' --server "+at.NATS)
	}
	line("health", "curl -s 'http://"+at.Admin+"/readyz?verbose'")
	line("own event", self()+" send --key "+console.ShellWord(filepath.Join(dir, "private.pem"))+" --url http://"+at.Ingest+"/webhooks/demo FILE")
	b.WriteString("\n")
	return b.String()
}

// staged says where to see what goes wrong.
func staged(at node.Addresses, scenes []traffic.Scene) string {
	page := "http://" + at.API + "/#/"
	late, ghost, stuck := scenes[0], scenes[1], scenes[2]
	var b strings.Builder
	b.WriteString("Staged, each within half a minute:\n\n")
	for _, s := range []struct{ what, where, see string }{
		{"ghost", page + "live?stale=true&q=ghost", ghost.Title + ": nobody leaves and nothing ends it; stale once a new session starts in its room"},
		{"stuck", page + "recordings?tab=stuck&stuckFor=10", "recording " + stuck.RecordingID + " is UPLOADING forever"},
		{"late leave", page + "session/" + late.SessionID, late.Title + ": flag left-after-end"},
		{"pipeline", page + "pipeline", "what comes in and is refused, lag, audits; start `" + self() + " rebuild sessions` beside it"},
	} {
		fmt.Fprintf(&b, "  %-12s %s\n  %-12s %s\n", s.what, s.where, "", s.see)
	}
	b.WriteString("\n")
	return b.String()
}

func (c *demoCmd) farewell(w io.Writer, dir string) {
	fmt.Fprintln(w, "\nThe demo has ended. Next:")
	if c.DataDir != "" {
		fmt.Fprintf(w, "  %s serve --data-dir %s --source demo=rsa:%s\n", self(), console.ShellWord(dir), console.ShellWord(filepath.Join(dir, "public.pem")))
		return
	}
	fmt.Fprintf(w, "  %s serve --source NAME=rsa:FILE_OR_HTTPS_URL\n  %s --help\n", self(), self())
}

// traffic is what the demo posts: ten meetings at once, then one every second and a half.
func (c *demoCmd) traffic(began time.Time) traffic.Config {
	seed := c.Seed
	if seed == 0 {
		seed = uint64(began.UnixNano())
	}
	return traffic.Config{
		Seed: seed, Start: began, SessionsPerMinute: 40, MedianLength: 12 * time.Second, MedianParticipants: 3, Opening: 10, Scenes: true,
		Duplicates: 0.05, Tame: true, Generations: []traffic.Generation{traffic.V2, traffic.RTK, traffic.RTK},
	}
}

// post sends traffic at the pace of the clock.
func (c *demoCmd) post(ctx context.Context, p *provider.Poster, plan traffic.Config) error {
	for d := range traffic.New(plan) {
		if err := wire.Pause(ctx, time.Until(d.At)); err != nil {
			return err
		}
		if _, err := p.Post(ctx, d.Family(), d.Headers(), d.Body); err != nil {
			return hint(err, p.URL)
		}
	}
	return nil
}
