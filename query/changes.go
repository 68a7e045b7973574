package query

import (
	"context"
	"net/http"
)

// changes streams what changes in the views.
func (a *API) changes(w http.ResponseWriter, req *http.Request, c *call) error {
	views := c.lists["views"]
	if views == nil {
		views = a.viewNames()
	}
	if err := a.replica.Wait(req.Context(), c.need(views)); err != nil {
		return err
	}
	// A client whose token was revoked gets nothing more, also where that was while it waited.
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	if in, ok := ctx.Value(callerKey{}).(admission); ok {
		defer context.AfterFunc(in.by.replaced, cancel)()
	}
	return a.feeds.Serve(w, req.WithContext(ctx), views, c.closing)
}
