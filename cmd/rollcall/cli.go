package main

import "rollcall/cmd/rollcall/internal/console"

// cli is the grammar of the command line. One field a command; each command's
// flags stand with its Run.
type cli struct {
	Log    console.LogFlags `embed:""`
	Config string           `help:"Config file (YAML); keys are the flags' names." type:"path" placeholder:"FILE"`

	Demo     demoCmd     `cmd:"" help:"Run everything with generated traffic, nothing to prepare." group:"Try it"`
	Send     sendCmd     `cmd:"" help:"Post files as signed webhook deliveries." group:"Try it"`
	Simulate simulateCmd `cmd:"" help:"Post realistic traffic to an ingester." group:"Try it"`
	Keygen   keygenCmd   `cmd:"" help:"Make a key pair to sign with." group:"Try it"`

	Serve       serveCmd       `cmd:"" help:"Run Rollcall, whole or a part of it." group:"Run it"`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask a running process whether it is ready." group:"Run it"`

	Events eventsCmd `cmd:"" help:"List, follow, export and import the log." group:"Look at it"`
	Views  viewsCmd  `cmd:"" help:"List, read and follow the views." group:"Look at it"`
	Status statusCmd `cmd:"" help:"How far the log and the views are." group:"Look at it"`

	Top    topCmd    `cmd:"" help:"Watch what comes in and how far the views are." group:"Look at it"`
	Report reportCmd `cmd:"" help:"Attendance, recordings, usage, live sessions." group:"Look at it"`

	Close closeCmd `cmd:"" help:"Keep a month's usage as it is now." group:"Look at it"`

	Verify   verifyCmd   `cmd:"" help:"Compare views with what the log says." group:"Repair"`
	Parked   parkedCmd   `cmd:"" help:"Records that a view leaves out because their fold fails." group:"Repair"`
	Rebuild  rebuildCmd  `cmd:"" help:"Replay the log into a new generation of a view." group:"Repair"`
	Promote  promoteCmd  `cmd:"" help:"Make a generation live that is ready." group:"Repair"`
	Rollback rollbackCmd `cmd:"" help:"Go back to the previous generation." group:"Repair"`
	Drop     dropCmd     `cmd:"" help:"Remove generations that were live before." group:"Repair"`
	Abort    abortCmd    `cmd:"" help:"Cancel a rebuild." group:"Repair"`
	Restore  restoreCmd  `cmd:"" help:"Fill an empty log from exports, and make its views." group:"Repair"`

	Bench benchCmd `cmd:"" help:"Measure throughput and latency here." group:"Look at it"`

	Cfg        configCmd     `cmd:"" name:"config" help:"Look at the settings." group:"About"`
	Version    versionCmd    `cmd:"" help:"Print the version." group:"About"`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell." group:"About"`
}
