package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sync"

	"rollcall/cmd/rollcall/internal/node"
)

// reloaded are the flags that a running process takes over, besides the file's
// sources. Another flag needs another start.
func reloaded() []string {
	return []string{"source", "source-rate", "same-body", "api-token-file", "log-level"}
}

// watchReloads reads the settings again at each signal, once the process is ready,
// until stop is called.
func (c *serveCmd) watchReloads(a *app, n *node.Node, signals <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(a.Ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-n.Ready:
		case <-ctx.Done():
			return
		}
		for {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			if err := n.Reloading(func() error { return c.reload(a, n) }); err != nil {
				a.Logger.Error().Err(err).Msg("settings were not reloaded: those before stay active")
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// reload reads the settings again, and applies what can be applied. The whole is
// checked first, then what the process would run with: a part of it may be wrong
// beside what stays.
func (c *serveCmd) reload(a *app, n *node.Node) error {
	next := &app{IO: a.IO, args: a.args}
	grammar, err := next.parse()
	if err == nil {
		_, err = grammar.Serve.config(next)
	}
	if err != nil {
		return fmt.Errorf("%w%s", err, next.origin(err))
	}
	merged, read := *c, grammar.Serve
	merged.Source, merged.SourceRate, merged.SameBody, merged.APITokenFile = read.Source, read.SourceRate, read.SameBody, read.APITokenFile
	config, err := merged.config(next)
	if err != nil {
		return fmt.Errorf("beside what stays until a restart: %w%s", err, next.origin(err))
	}
	if err := n.Reload(config); err != nil {
		return err
	}
	if err := a.level.Set(grammar.Log.LogLevel); err != nil {
		return err
	}
	a.sayKept(next)
	*c = merged
	a.Logger.Info().Int("sources", len(config.Handler.Sources)).Int("tokens", len(config.APITokens)).Str("log_level", grammar.Log.LogLevel).Msg("settings reloaded")
	return nil
}

// sayKept names the settings that are others now, and stay as they were.
func (a *app) sayKept(next *app) {
	read := next.serveFlags()
	for i, f := range a.serveFlags() {
		if !slices.Contains(reloaded(), f.Name) && !reflect.DeepEqual(f.Target.Interface(), read[i].Target.Interface()) {
			a.Logger.Warn().Str("key", f.Name).Msg("this setting can't change while the process runs: it stays as it was; restart the process to apply it")
		}
	}
}
