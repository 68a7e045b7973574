package main

import (
	"context"
	"os"

	"rollcall/cmd/rollcall/internal/console"
)

func main() {
	ctx := console.WithSignals(context.Background())
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}
