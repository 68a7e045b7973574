package main

// benchCmd measures on the machine that it runs on.
type benchCmd struct {
	Ingest  benchIngestCmd  `cmd:"" help:"Throughput and latency of the ingester."`
	Rebuild benchRebuildCmd `cmd:"" help:"Speed of reading the log and of rebuilding views."`
	Latency benchLatencyCmd `cmd:"" help:"From a webhook to its effect in the views."`
	Readers benchReadersCmd `cmd:"" help:"How long webhooks wait while others read, flood, rebuild and verify."`
	Server  benchServerCmd  `cmd:"" hidden:""`
}

// benchLeft is what an interrupted measurement in a directory of its own leaves.
const benchLeft = "nothing was measured to its end, and the directory of the measurement was removed"

// Help is an example of its commands.
func (benchCmd) Help() string {
	return "Examples:\n  rollcall bench ingest --duration 30s\n  rollcall bench rebuild --events 1000000"
}
