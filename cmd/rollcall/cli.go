package main

// cli is the grammar of the command line. One field a command; each command's
// flags stand with its Run.
type cli struct {
	Log    logFlags `embed:""`
	Config string   `help:"Config file (YAML); keys are the flags' names." type:"path" placeholder:"FILE"`

	Send     sendCmd     `cmd:"" help:"Post files as signed webhook deliveries." group:"Try it"`
	Simulate simulateCmd `cmd:"" help:"Post realistic traffic to an ingester." group:"Try it"`
	Keygen   keygenCmd   `cmd:"" help:"Make a key pair to sign with." group:"Try it"`
}
