package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

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
