package query

import "net/http"

// changes streams what changes in the views.
func (a *API) changes(w http.ResponseWriter, req *http.Request, c *call) error {
	views := c.lists["views"]
	if views == nil {
		views = a.viewNames()
	}
	if err := a.replica.Wait(req.Context(), c.need(views)); err != nil {
		return err
	}
	return a.feeds.Serve(w, req, views, c.closing)
}
