package node

import (
	"context"
	"fmt"
	"path/filepath"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/projections"
	"rollcall/projector/viewstore"
	"rollcall/query"
	"rollcall/query/closing"
	"rollcall/query/pipeline"
	"rollcall/query/replica"
)

// startRoles starts what this process does. Ingest comes first: it must not
// wait for anything that reads the log.
func (n *Node) startRoles(ctx context.Context) error {
	n.Health.Add(Check{"log", n.checkLog}, Check{"reads", n.checkReads})
	n.serve(stageProject, n.watchReads)
	if n.Roles.Ingest {
		if err := n.startIngest(); err != nil {
			return err
		}
	}
	if n.Roles.Project {
		if err := n.startProject(ctx); err != nil {
			return err
		}
	}
	if n.Roles.Query {
		if err := n.startQuery(ctx); err != nil {
			return err
		}
	}
	return n.startHeartbeat(ctx)
}

// checkLog reports whether the log takes records, and what a 200 means there.
func (n *Node) checkLog(ctx context.Context) (string, error) {
	info, err := n.Log.Health(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d records; %s", info.Records, info.Durability), nil
}

// startQuery starts the replica and the read API.
func (n *Node) startQuery(ctx context.Context) error {
	nc, js, err := n.connect(ctx, "query")
	if err != nil {
		return err
	}
	dir := n.ReplicaDir
	if dir == "" && n.Embedded != nil {
		dir = filepath.Join(n.DataDir, "replica")
	}
	views := viewstore.NewReader(js)
	tables, err := query.Tables()
	if err != nil {
		return err
	}
	replica, err := replica.Open(ctx, replica.Config{Dir: dir, Views: views, Tables: tables, Registerer: n.registry, Log: n.Logger.With().Str(console.KeyPart, "query").Logger()})
	if err != nil {
		return fmt.Errorf("open read replica: %w", err)
	}
	n.closers = append(n.closers, replica.Close)
	monitor := pipeline.New(nil)
	api, err := query.New(query.Config{
		Replica: replica, Pipeline: monitor, Log: n.Log, Closings: closing.NewStore(js), Folds: projections.All(), StaleAfter: n.StaleAfter, IdleTimeout: n.APIIdleTimeout, Tokens: n.APITokens, AccessLog: n.AccessLog, Observe: n.observer(), Hosts: n.APIHosts, BasePath: n.APIBasePath, Version: n.Version.Version,
		Registerer: n.registry, Logger: n.Logger.With().Str(console.KeyPart, "query").Logger(),
	})
	if err != nil {
		return err
	}
	n.active.api = api
	side := &readSide{node: n, failed: map[string]string{}}
	n.Health.Add(Check{"query", func(ctx context.Context) (string, error) {
		note, err := checkReplica(ctx, replica, views)
		if err != nil && !n.Roles.Ingest { // see startRoles: nothing here may refuse webhooks
			return "", err
		}
		waits := replica.Waiting()
		if err != nil {
			waits = append(waits, err.Error())
		}
		return side.notes(append(waits, note)...), nil
	}})
	n.loaded = func(ctx context.Context) bool { _, err := checkReplica(ctx, replica, views); return err == nil }
	side.serve("replica", replica.Run)
	side.serve("pipeline", func(ctx context.Context) error { return monitor.Run(ctx, nc) })
	side.serve("api", side.api(api.Serve))
	side.serve("service", func(ctx context.Context) error { return api.RunService(ctx, nc) })
	return nil
}

// checkReplica reports whether readers get answers from every view that exists.
// A projector can be limited to some, and then nobody makes the others.
func checkReplica(ctx context.Context, replica *replica.Replica, views *viewstore.Reader) (note string, err error) {
	if replica.Loaded() {
		return "", nil
	}
	loaded := replica.Sequences()
	exist, err := attach.ExistingViews(ctx, views)
	if err != nil {
		return "", err
	}
	for _, view := range exist {
		if _, ok := loaded[view]; !ok {
			return "", fmt.Errorf("loading the view %s", view)
		}
	}
	return fmt.Sprintf("%d views; nobody has made the others", len(exist)), nil
}
