package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query"
)

// startRoles starts what this process does. Ingest comes first: it must not
// wait for anything behind the log.
func (n *node) startRoles(ctx context.Context) error {
	n.health.add(check{"log", n.checkLog})
	if n.doIngest {
		if err := n.startIngest(); err != nil {
			return err
		}
	}
	if n.doProject {
		if err := n.startProject(ctx); err != nil {
			return err
		}
	}
	if n.doQuery {
		return n.startQuery(ctx)
	}
	return nil
}

// checkLog tells readiness whether the log answers, and what a 200 means there.
func (n *node) checkLog(ctx context.Context) (string, error) {
	info, err := n.log.Info(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d records; %s", info.Records, info.Durability), nil
}

// startProject starts a projector for each view, and waits until each has begun
// or stands by: what it refuses, it refuses by then.
func (n *node) startProject(ctx context.Context) error {
	_, js, err := n.connect(ctx, "project")
	if err != nil {
		return err
	}
	store, err := viewstore.Open(ctx, js, viewstore.Config{
		Replicas: n.Replicas, Exclusive: n.embedded != nil && len(n.users) == 0, Logger: n.logger.With().Str(keyPart, "viewstore").Logger(),
	})
	if err != nil {
		return err
	}
	source := projector.Share(n.log)
	var all []*projector.Projector
	for _, fold := range n.folds {
		p, err := projector.New(projector.Config{
			Projection: fold, Source: source, Store: store, CacheBytes: n.cacheBytes / int64(len(n.folds)),
			Logger: n.logger.With().Str(keyPart, "project").Logger(), Registerer: n.registry,
		})
		if err != nil {
			return err
		}
		all = append(all, p)
		n.health.add(check{"project " + fold.Name(), n.checkProjector(p)})
		n.serve(stageProject, func(ctx context.Context) error { return n.runProjector(ctx, p) })
	}
	for _, p := range all {
		for p.Status().State == projector.StateStarting {
			select {
			case err := <-n.failed:
				return err
			default:
			}
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// runProjector runs one view. What it can't go on with ends a process that does
// nothing else, or that has just started; a process that takes webhooks goes on
// taking them, and says so.
func (n *node) runProjector(ctx context.Context, p *projector.Projector) error {
	err := p.Run(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if !n.doIngest || n.health.isStarting() {
		return err
	}
	n.logger.Error().Err(err).Str(keyView, p.Status().Name).Msg("projection stopped; the others and the log go on")
	return nil
}

// checkProjector is a note where other roles run in the process: a projection
// that stands must not refuse webhooks.
func (n *node) checkProjector(p *projector.Projector) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		s := p.Status()
		if s.State == projector.StateFailed {
			if !n.doIngest {
				return "", errors.New(s.Error)
			}
			return "failed: " + s.Error, nil
		}
		return fmt.Sprintf("%s, sequence %d of %d, lag %d", s.State, s.Sequence, s.HeadSequence, s.Lag), nil
	}
}

// startQuery starts the replica and the read API.
func (n *node) startQuery(ctx context.Context) error {
	nc, js, err := n.connect(ctx, "query")
	if err != nil {
		return err
	}
	tokens, err := n.apiTokens()
	if err != nil {
		return err
	}
	dir := n.ReplicaDir
	if dir == "" && n.embedded != nil {
		dir = filepath.Join(n.DataDir, "replica")
	}
	replica, err := query.OpenReplica(ctx, query.ReplicaConfig{Dir: dir, Views: viewstore.NewReader(js), Log: n.logger.With().Str(keyPart, "query").Logger()})
	if err != nil {
		return fmt.Errorf("open read replica: %w", err)
	}
	n.closers = append(n.closers, replica.Close)
	api, err := query.New(query.Config{
		Replica: replica, Log: n.log, Folds: allFolds(), StaleAfter: n.StaleAfter, Tokens: tokens,
		Registerer: n.registry, Logger: n.logger.With().Str(keyPart, "query").Logger(),
	})
	if err != nil {
		return err
	}
	n.health.add(check{"query", func(context.Context) (string, error) {
		switch {
		case replica.Loaded():
			return "", nil
		case n.doIngest: // see startRoles: nothing here may refuse webhooks
			return "loading", nil
		}
		return "", errors.New("loading the views")
	}})
	n.serve(stageQuery, replica.Run)
	n.serve(stageQuery, func(ctx context.Context) error { return api.Serve(ctx, n.listeners.api) })
	n.serve(stageQuery, func(ctx context.Context) error { return api.RunService(ctx, nc) })
	return nil
}

// apiTokens are the tokens that the read API asks for. An address that others
// reach needs some.
func (n *node) apiTokens() (tokens []string, err error) {
	if n.APITokenFile != "" {
		if tokens, err = query.ReadTokens(n.APITokenFile); err != nil {
			return nil, usagef("--api-token-file: %w", err)
		}
	}
	if err := query.CheckAddr(n.APIAddr, tokens, n.Insecure); err != nil {
		return nil, usagef("--api-addr: %w", err)
	}
	return tokens, nil
}
