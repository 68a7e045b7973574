package attach

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/projector/viewstore"
)

// WithReader runs fn on the views of the server that f names.
func (f ClientFlags) WithReader(ctx context.Context, fn func(r *viewstore.Reader) error) error {
	nc, js, err := f.Connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	return fn(viewstore.NewReader(js))
}

// WithStore runs fn with the rights to change views.
func (f OperatorFlags) WithStore(a *console.IO, fn func(js jetstream.JetStream, store *viewstore.Store) error) error {
	nc, js, err := f.ConnectOperator(a.Ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	store, err := viewstore.Open(a.Ctx, js, viewstore.Config{Logger: a.Logger})
	if err != nil {
		return NeedRights(err, nc)
	}
	return a.Left(NeedRights(fn(js, store), nc), "whether it was done is not known; `rollcall status` shows what there is, and it can be called again")
}
