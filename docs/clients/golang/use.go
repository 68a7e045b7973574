//go:build generated

// Command use asks a server by the client that oapi-codegen generates beside it.
// Its first argument is the server's address, the second one a session.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	_ "github.com/oapi-codegen/runtime" // what is generated imports it
	"github.com/oapi-codegen/runtime/types"
)

func main() {
	if err := use(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func use(ctx context.Context, server, session string) error {
	c, err := NewClientWithResponses(server)
	if err != nil {
		return err
	}
	list, err := c.ListSessionsWithResponse(ctx, &ListSessionsParams{})
	if err != nil {
		return err
	}
	if list.JSON200 == nil || len(list.JSON200.Items) != 1 {
		return fmt.Errorf("list sessions: %s", list.Body)
	}
	var seconds *float64 = list.JSON200.Items[0].DurationSeconds
	from := types.Date{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	by := []ListUsageParamsGroupBy{"month", "meeting"}
	usage, err := c.ListUsageWithResponse(ctx, &ListUsageParams{From: &from, GroupBy: &by})
	if err != nil {
		return err
	}
	if usage.JSON200 == nil || len(usage.JSON200.Items) != 1 {
		return fmt.Errorf("list usage: %s", usage.Body)
	}
	none, err := c.GetSessionWithResponse(ctx, "none", nil)
	if err != nil {
		return err
	}
	if none.ApplicationproblemJSON404 == nil {
		return errors.New("a session that there is not: no problem with status 404")
	}
	people, err := c.ListParticipantsWithResponse(ctx, session, nil)
	if err != nil {
		return err
	}
	fmt.Println(*seconds, usage.JSON200.Items[0].ParticipantSeconds, people.JSON200.Items[0].ParticipantId, none.ApplicationproblemJSON404.Status)
	return nil
}
