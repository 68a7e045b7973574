package main

import (
	"time"

	"rollcall/cmd/rollcall/internal/bench"
	"rollcall/cmd/rollcall/internal/console"
)

// benchCmd measures on the machine that it runs on.
type benchCmd struct {
	Ingest  benchIngestCmd  `cmd:"" help:"Throughput and latency of the ingester."`
	Rebuild benchRebuildCmd `cmd:"" help:"Speed of reading the log and of rebuilding views."`
	Latency benchLatencyCmd `cmd:"" help:"From a webhook to its effect in the views."`
	Readers benchReadersCmd `cmd:"" help:"How long webhooks wait while others read, flood, rebuild and verify."`
	Server  benchServerCmd  `cmd:"" hidden:""`
}

// Help is an example of its commands.
func (benchCmd) Help() string {
	return "Examples:\n  rollcall bench ingest --duration 30s\n  rollcall bench rebuild --events 1000000"
}

// benchIngestCmd is `rollcall bench ingest`.
type benchIngestCmd struct {
	Duration    time.Duration `help:"Measuring time of each part, over all rounds." default:"10s" placeholder:"DURATION"`
	Connections int           `help:"Connections of the throughput measurement." default:"256" placeholder:"N"`
	Rate        int           `help:"Requests per second of the latency measurement." default:"1000" placeholder:"N"`
	Dir         string        `help:"Directory for the logs, on the disk that is to be measured." default:"." type:"path" placeholder:"DIR"`
	console.OutputFlag
}

// Help is the command's example.
func (benchIngestCmd) Help() string {
	return `Measures the ingester over HTTP on this machine, load generator included, in four parts that take turns:
handler (signature and no log), durable (Rollcall: every 200 is fsynced), naive (one synchronous publish a request,
sync always), nosync (the same with sync off). Throughput is with many connections, latency at a fixed rate, counted from
when a request was due. Medians of three rounds.

Example:
  rollcall bench ingest --duration 30s --dir /var/lib`
}

// Run measures.
func (c *benchIngestCmd) Run(a *app) error {
	b := bench.Ingest(*c)
	return b.Run(a.IO)
}

// benchLatencyCmd is `rollcall bench latency`.
type benchLatencyCmd struct {
	Rate   int    `help:"Webhooks per second." default:"200" placeholder:"N"`
	Events int    `help:"Webhooks measured until their view changes." default:"4000" placeholder:"N"`
	Reads  int    `help:"Webhooks whose effect is read with minSequence." default:"1000" placeholder:"N"`
	Dir    string `help:"Directory for the data, on the disk to measure; temporary by default." type:"path" placeholder:"DIR"`
	console.OutputFlag
}

// Help is the command's example.
func (benchLatencyCmd) Help() string {
	return `Starts rollcall serve as a process of its own and measures, in milliseconds:
visible (from a webhook's 200 to the change of its key at a watcher of the KV bucket attendance, at a fixed rate), and,
one after the other: webhook (a webhook's answer), read (a GET with its Rollcall-Sequence as minSequence, sent at once),
and both together. A read whose answer lacks the webhook's effect ends the run.

Example:
  rollcall bench latency --rate 200 --output json`
}

// Run measures.
func (c *benchLatencyCmd) Run(a *app) error {
	b := bench.Latency(*c)
	return b.Run(a.IO)
}

// benchReadersCmd is `rollcall bench readers`.
type benchReadersCmd struct {
	Rate     int           `help:"Webhooks per second." default:"200" placeholder:"N"`
	Duration time.Duration `help:"How long each row is measured." default:"10s" placeholder:"DURATION"`
	Records  int           `help:"Records in the log before it begins; a fifth of them are of one session." default:"100000" placeholder:"N"`
	Feeds    int           `help:"Clients of the change feed." default:"1000" placeholder:"N"`
	Slow     int           `help:"Connections that send one byte of a body." default:"8000" placeholder:"N"`
	Rows     string        `help:"Regular expression of the rows to measure." default:"." placeholder:"REGEXP"`
	Serve    string        `help:"Program whose serve is measured; this one by default." type:"path" placeholder:"FILE"`
	Dir      string        `help:"Directory for the data, on the disk to measure; temporary by default." type:"path" placeholder:"DIR"`
	console.OutputFlag
}

// Help is the command's example.
func (benchReadersCmd) Help() string {
	return `Starts rollcall serve as a process of its own, fills its log, and measures how long webhooks wait for their answer, at a
fixed rate and from the moment at which each was due, while others read, flood, rebuild and verify. Load is made on the same machine, so it takes from the server what it needs itself.

Example:
  rollcall bench readers --duration 10s --output json`
}

// Run measures.
func (c *benchReadersCmd) Run(a *app) error {
	b := bench.Readers(*c)
	return b.Run(a.IO)
}

// benchRebuildCmd is `rollcall bench rebuild`.
type benchRebuildCmd struct {
	Events int      `help:"Records in the log." default:"100000" placeholder:"N"`
	Naive  int      `help:"Records that the naive projector gets: it is slow." default:"20000" placeholder:"N"`
	Views  []string `help:"Views to rebuild; all by default." placeholder:"VIEW"`
	Dir    string   `help:"Directory for the log, on the disk to measure, kept for the next run; temporary by default." type:"path" placeholder:"DIR"`
	console.OutputFlag
}

// Help is the command's example.
func (benchRebuildCmd) Help() string {
	return `Fills a log with generated traffic on a NATS server of its own, a process beside this one, and measures in one run:
read (nats.go's ordered consumer with an empty handler; the median of three), read+decode (the same, each record
decoded), naive (a durable consumer with acks; a KV get and a put an event), each view's rebuild, and all of them
together. peakBytes is the most memory that this process held from the system meanwhile: the projector with its cache and
its garbage, without the server, whose memory stands beside it in what is printed on the way.

Example:
  rollcall bench rebuild --events 1000000 --output json`
}

// Run measures.
func (c *benchRebuildCmd) Run(a *app) error {
	b := bench.Rebuild{Events: c.Events, Naive: c.Naive, Views: c.Views, Dir: c.Dir, CacheBytes: rebuildCache, OutputFlag: c.OutputFlag}
	return b.Run(a.IO)
}

// benchServerCmd is `rollcall bench server`: bench rebuild starts it.
type benchServerCmd struct {
	Dir string `arg:"" help:"Where it keeps its streams." type:"path"`
}

// Run serves until its input ends.
func (c *benchServerCmd) Run(a *app) error { return bench.Serve(a.IO, c.Dir) }
