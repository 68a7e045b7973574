package natsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/cmd/rollcall/internal/console"
)

// How many consumers clients without credentials may have on the embedded
// server, and for how long. nats-server bounds the consumers of a stream, not
// who has them: a reader that took them all would leave none for the
// projectors and the API.
const (
	// streamConsumers is how many consumers a stream takes. It is nats-server's
	// own default, set all the same, since the numbers below are parts of it.
	streamConsumers = 1000
	// readerConsumers is how many a stream has at most, whoever made them, when a
	// reader is given one more: half of them are for Rollcall and for users with a
	// role. serverConsumers is the same for all streams together.
	readerConsumers = 500
	serverConsumers = 2000
	// readerIdle is the most that a reader's consumer may lie unused.
	readerIdle = time.Minute
	// readerUnacked and readerPulls bound what the server keeps for a consumer.
	readerUnacked = 1000
	readerPulls   = 64
	// readerFilters and readerRequest bound a request: the server compares each
	// filter with each message.
	readerFilters = 128
	readerRequest = 32 << 10
	// readerRate is how many consumers readers may make per second, and readerWait how
	// long one more waits for its turn.
	readerRate = 200
	readerWait = 4 * time.Second
)

// readerMembers are the members of a consumer's configuration that a reader may
// give. Others, such as pause_until and direct, would let it live on, or pass by
// the server's limits.
var readerMembers = []string{
	"name", "description", "deliver_policy", "opt_start_seq", "opt_start_time", "ack_policy", "ack_wait", "max_deliver",
	"filter_subject", "filter_subjects", "replay_policy", "rate_limit_bps", "sample_freq", "max_waiting", "max_ack_pending",
	"flow_control", "headers_only", "max_batch", "max_expires", "max_bytes", "deliver_subject", "deliver_group",
	"idle_heartbeat", "inactive_threshold", "num_replicas", "mem_storage", "metadata",
}

// readerError is an answer to a reader with a JetStream error code of its own.
type readerError struct {
	apiError
}

func (e *readerError) Error() string { return e.Description }

// refusalOf is what a reader is answered. 10003 is JetStream's "bad request".
func refusalOf(err error) apiError {
	var r *readerError
	if errors.As(err, &r) {
		return r.apiError
	}
	return apiError{403, 10003, err.Error()}
}

// readRequest reads a consumer request and refuses what a reader may not ask for.
func readRequest(request []byte) (body, config map[string]jsontext.Value, err error) {
	if len(request) > readerRequest {
		return nil, nil, fmt.Errorf("a reader's request for a consumer has at most %d bytes", readerRequest)
	}
	if err := json.Unmarshal(request, &body); err != nil {
		return nil, nil, fmt.Errorf("read request: %w", err)
	}
	if err := json.Unmarshal(body["config"], &config); err != nil {
		return nil, nil, fmt.Errorf("read consumer config: %w", err)
	}
	for _, object := range []map[string]jsontext.Value{body, config} {
		if name, ok := foreign(object); ok {
			return nil, nil, fmt.Errorf("a consumer request has no member %q", name)
		}
	}
	if durable := console.JSONText(config["durable_name"]); durable != "" {
		return nil, nil, errors.New("readers make no durable consumers; use an ephemeral one, or connect with a role (--nats-users)")
	}
	delete(config, "durable_name")
	for name, value := range config {
		if slices.Contains(readerMembers, name) {
			continue
		}
		if !slices.Contains([]string{"null", "false", "0", `""`, "[]"}, string(value)) {
			return nil, nil, fmt.Errorf("a reader's consumer has no %s; leave it out, or connect with a role (--nats-users)", name)
		}
		delete(config, name)
	}
	var filters []string
	if json.Unmarshal(config["filter_subjects"], &filters) == nil && len(filters) > readerFilters {
		return nil, nil, fmt.Errorf("a reader's consumer has at most %d filter subjects", readerFilters)
	}
	return body, config, nil
}

// limit brings a configuration within a reader's bounds. A consumer in memory
// costs no write to the disk of the log, and is gone with the server.
func limit(config map[string]jsontext.Value) {
	most := func(name string, limit int64) {
		var n int64
		if given := config[name]; given != nil && (json.Unmarshal(given, &n) != nil || n < 0 || n > limit) {
			config[name] = marshal(limit)
		}
	}
	most("inactive_threshold", int64(readerIdle))
	most("max_ack_pending", readerUnacked)
	config["mem_storage"], config["num_replicas"] = marshal(true), marshal(1)
	if console.JSONText(config["deliver_subject"]) == "" { // a push consumer has no requests that wait
		if config["max_waiting"] == nil {
			config["max_waiting"] = marshal(readerPulls)
		}
		most("max_waiting", readerPulls)
	}
}

// streamState is what the guard looks at in the state of a stream.
type streamState struct {
	Messages  uint64 `json:"messages"`
	Bytes     uint64 `json:"bytes"`
	Consumers int    `json:"consumer_count"`
}

// room refuses a reader another consumer where the rest is for others, and says
// what the stream has. The server counts, so that nothing has to be remembered
// across a restart. The caller holds g.making.
func (g *Guard) room(stream string) (state streamState, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), readerWait)
	defer cancel()
	if err := g.pace.Wait(ctx); err != nil {
		return state, g.full(fmt.Sprintf("readers make at most %d consumers a second; try again later", readerRate))
	}
	var info struct {
		State     streamState `json:"state"`
		Consumers int         `json:"consumers"`
	}
	for _, subject := range []string{"$JS.API.STREAM.INFO." + stream, "$JS.API.INFO"} {
		answer, err := g.nc.Request(subject, nil, readerWait)
		if err != nil {
			return state, fmt.Errorf("ask JetStream: %w", err)
		}
		if err := json.Unmarshal(answer.Data, &info); err != nil {
			return state, fmt.Errorf("read JetStream's answer: %w", err)
		}
	}
	switch {
	case info.State.Consumers >= readerConsumers:
		return state, g.full(fmt.Sprintf("stream %s has %d consumers, and the rest is kept for Rollcall; remove some, or wait until idle ones go (%v)", stream, info.State.Consumers, readerIdle))
	case info.Consumers >= serverConsumers:
		return state, g.full(fmt.Sprintf("the server has %d consumers, and more are kept for Rollcall; remove some, or wait until idle ones go (%v)", info.Consumers, readerIdle))
	}
	return info.State, nil
}

// full is JetStream's own refusal, with a reason. It is logged once a minute.
func (g *Guard) full(why string) error {
	g.warn("a NATS client without credentials was refused a consumer: " + why)
	return &readerError{apiError{429, int(console.CodeConsumers), "maximum consumers limit reached: " + why}}
}

// warn logs what the guard did, once a minute.
func (g *Guard) warn(text string) {
	g.warning.Lock()
	defer g.warning.Unlock()
	if time.Since(g.warned) > time.Minute {
		g.warned = time.Now()
		g.log.Warn().Msg(text)
	}
}

// foreign finds a member that JetStream would read under another name: its
// decoder ignores letter case, and would so take a deliver subject that the guard
// did not see. Every name that it knows is in lower case.
func foreign(object map[string]jsontext.Value) (string, bool) {
	for name := range object {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return name, true
		}
	}
	return "", false
}
