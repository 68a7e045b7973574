package query

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
)

// known is a member of an answer that is no view's document.
func known(name string, kind projections.Kind, doc string) field {
	return field{Field: projections.Field{Name: name, Kind: kind, Doc: doc}}
}

// shaped is one whose schema its kind does not say.
func shaped(name, doc string, schema map[string]any) field {
	return field{Field: projections.Field{Name: name, Kind: projections.KindObject, Doc: doc}, schema: schema}
}

func (f field) orNull() field {
	f.Nullable = true
	return f
}

// projectionFields are the members of a projection's state.
func projectionFields() []field {
	return []field{
		known("name", projections.KindText, "The view."),
		known("version", projections.KindText, "The version of the fold that made it; null where nothing was made yet.").orNull(),
		known("state", projections.KindText, "live, catching-up or absent."),
		known("sequence", projections.KindInteger, "The last record that the view holds."),
		known("headSequence", projections.KindInteger, "The last record of the log."),
		known("lag", projections.KindInteger, "Records not folded yet."),
		known("lagSeconds", projections.KindSeconds, "Age of the oldest record not folded yet."),
		known("parked", projections.KindInteger, "Records that were set aside."),
		known("bucket", projections.KindText, "The KV bucket that holds the view; null where there is none.").orNull(),
	}
}

// pipelineFields are the members of a pipeline.Overview.
func pipelineFields() []field {
	return []field{
		known("at", projections.KindTime, "When this was gathered."),
		shaped("ingest", "What came in, over all processes that take webhooks.", object(whole("processes", "Processes that take webhooks."),
			whole("records", "Records stored since the processes started."), whole("duplicates", "Repeats that were not stored again."),
			whole("refusals", "Deliveries that were refused."), objects("refusalsByReason", "The refusals by their reason.",
				words("reason", "The reason, a fixed word."), whole("count", "How many.")))),
		shaped("history", "What came in a second, over the last minutes.", list(object(moment("at", "The end of the step."),
			number("recordsPerSecond", "Records stored."), number("duplicatesPerSecond", "Repeats."), number("refusalsPerSecond", "Refused deliveries.")))),
		shaped("rebuilds", "The rebuilds under way.", list(object(words("view", "The view."), whole("generation", "The generation that is made."),
			words("bucket", "The KV bucket that it is made in."), words("state", "What the rebuild does now."), whole("sequence", "The last record applied."),
			whole("headSequence", "The last record of the log."), number("share", "The part of the log that is applied, from 0 to 1."),
			number("perSecond", "Records applied per second."), member{"etaSeconds", "The time left at this pace; null where it is unknown.", schema("number", "null")},
			number("elapsedSeconds", "The time since it started.")))),
		shaped("audits", "What the last comparison of each view with the log found.", list(object(words("view", "The view."), moment("at", "When it ended."),
			words("result", "equal, different or failed."), whole("keys", "Keys compared."), whole("differing", "Keys that differ."),
			whole("sequence", "The record up to which they were compared.")))),
		shaped("processes", "The processes that have reported lately.", list(object(words("process", "The process, a ULID made at its start."), words("host", "Its host."),
			texts("roles", "What it does: ingest, project, rebuild, verify."), moment("startedAt", "When it started."), moment("heardAt", "When it reported last."),
			member{"lost", "It stopped reporting without saying that it ends.", schema("boolean")},
			objects("projections", "The projections that it runs.", words("name", "The view."), words("state", "What it does for the view now.")),
			texts("problems", "What keeps it from its work."), texts("warnings", "What is unwise in how it is set up.")))),
	}
}

func words(name, doc string) member  { return member{name, doc, schema("string")} }
func texts(name, doc string) member  { return member{name, doc, list(schema("string"))} }
func whole(name, doc string) member  { return member{name, doc, schema("integer")} }
func number(name, doc string) member { return member{name, doc, schema("number")} }

func moment(name, doc string) member {
	return member{name, doc, map[string]any{"type": "string", "format": "date-time"}}
}

func objects(name, doc string, members ...member) member {
	return member{name, doc, list(object(members...))}
}

// eventFields are the members of an event.
func eventFields() []field {
	return []field{
		known("sequence", projections.KindInteger, "Its place in the log."),
		known("eventId", projections.KindText, "The id that it got when it was received."),
		known("source", projections.KindText, "The source that it came from."),
		known("type", projections.KindText, "The provider's name of the event."),
		known("receivedAt", projections.KindTime, "When it was received.").orNull(),
		known("body", projections.KindAny, "The JSON body as it was sent, streamKey masked; null where it is no JSON.").orNull(),
		{Field: projections.Field{Name: "bodyBase64", Kind: projections.KindText, Optional: true, Doc: "The bytes of a body that is no JSON."}},
	}
}

func organizerCells(raw jsontext.Value) []string {
	o := organizer(raw)
	return []string{o.ID, o.Name}
}

type organizerDoc struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func organizer(raw jsontext.Value) (o organizerDoc) {
	if len(raw) > 0 && json.Unmarshal(raw, &o) != nil {
		return organizerDoc{}
	}
	return o
}

func joinTexts(raw jsontext.Value) []string {
	var all []string
	if json.Unmarshal(raw, &all) != nil {
		return []string{""}
	}
	return []string{strings.Join(all, "; ")}
}

func joinRecordings(raw jsontext.Value) []string {
	var all []struct {
		RecordingID string `json:"recordingId"`
		Status      string `json:"status"`
	}
	if json.Unmarshal(raw, &all) != nil {
		return []string{""}
	}
	parts := make([]string, len(all))
	for i, r := range all {
		parts[i] = r.RecordingID + " " + r.Status
	}
	return []string{strings.Join(parts, "; ")}
}

func joinFiles(raw jsontext.Value) []string {
	var all []struct {
		ParticipantID string `json:"participantId"`
		URL           string `json:"url"`
		AudioURL      string `json:"audioUrl"`
	}
	if json.Unmarshal(raw, &all) != nil {
		return []string{""}
	}
	parts := make([]string, len(all))
	for i, f := range all {
		parts[i] = strings.TrimSpace(f.ParticipantID + " " + cmp.Or(f.URL, f.AudioURL))
	}
	return []string{strings.Join(parts, "; ")}
}

func artifactCells(raw jsontext.Value) []string {
	type link struct {
		URL string `json:"url"`
	}
	var a struct {
		Chat       link `json:"chat"`
		Transcript link `json:"transcript"`
		Summary    link `json:"summary"`
	}
	if json.Unmarshal(raw, &a) != nil {
		return []string{"", "", ""}
	}
	return []string{a.Chat.URL, a.Transcript.URL, a.Summary.URL}
}

func countItems(raw jsontext.Value) []string {
	var all []jsontext.Value
	if json.Unmarshal(raw, &all) != nil {
		return []string{""}
	}
	return []string{strconv.Itoa(len(all))}
}

func rawCell(raw jsontext.Value) []string {
	switch {
	case len(raw) == 0 || raw.Kind() == 'n':
		return []string{""}
	case raw.Kind() == '"':
		return []string{text(raw)}
	}
	return []string{string(raw)}
}
