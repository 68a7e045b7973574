package main

import (
	"context"
	"os"
)

func main() {
	ctx := withSignals(context.Background())
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}
