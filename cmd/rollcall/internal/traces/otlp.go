package traces

import (
	"strconv"
	"time"
)

// The JSON form of OTLP's ExportTraceServiceRequest (opentelemetry-proto, trace.proto):
// ids in hex, 64-bit numbers as texts.

const (
	kindServer   = 2
	kindConsumer = 5
	statusError  = 2
	flagSampled  = 1
)

type export struct {
	Resources []resourceSpans `json:"resourceSpans"`
}

type resourceSpans struct {
	Resource resource     `json:"resource"`
	Scopes   []scopeSpans `json:"scopeSpans"`
}

type resource struct {
	Attributes []attribute `json:"attributes"`
}

type scopeSpans struct {
	Scope scope  `json:"scope"`
	Spans []span `json:"spans"`
}

type scope struct {
	Name string `json:"name"`
}

type span struct {
	TraceID    string      `json:"traceId"`
	SpanID     string      `json:"spanId"`
	Parent     string      `json:"parentSpanId,omitzero"`
	Flags      int         `json:"flags"`
	Name       string      `json:"name"`
	Kind       int         `json:"kind"`
	Start      string      `json:"startTimeUnixNano"`
	End        string      `json:"endTimeUnixNano"`
	Attributes []attribute `json:"attributes"`
	Links      []link      `json:"links,omitempty"`
	More       int         `json:"droppedLinksCount,omitzero"`
	Status     struct {
		Code int `json:"code,omitzero"`
	} `json:"status"`
}

type link struct {
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
	Flags   int    `json:"flags"`
}

type attribute struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

type value struct {
	Text   *string `json:"stringValue,omitzero"`
	Number *string `json:"intValue,omitzero"`
}

func text(key, v string) attribute   { return attribute{key, value{Text: &v}} }
func number(key, v string) attribute { return attribute{key, value{Number: &v}} }

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
