package query

import (
	"slices"
	"strings"
)

// shared are the parameters that every path takes.
func shared() []param {
	return []param{
		{name: "minSequence", kind: paramSeq, form: true, doc: "Answer only from views that hold this record: the Rollcall-Sequence of a webhook's answer."},
		{name: "wait", kind: paramWait, form: true, doc: "How long to wait for minSequence (default 2s, at most 30s); then 504."},
	}
}

// with appends the shared parameters.
func with(params ...param) []param { return append(params, shared()...) }

// listWith appends those of every list too.
func listWith(params ...param) []param { return pagedWith(append(params, zoneOfTimes())...) }

// pagedWith is listWith for a list that takes a time zone of its own.
func pagedWith(params ...param) []param {
	return with(append(params, paging("A scalar field to sort by, with - in front for descending order.")...)...)
}

// paging are the parameters that say which part of a list is answered, and how.
func paging(sort string) []param {
	return []param{
		{name: "limit", kind: paramLimit, form: true, doc: "Items on a page: 100 unless given, at most 1000. CSV and sheets without it have all items."},
		{name: "cursor", kind: paramCursor, form: true, doc: "nextCursor of the page before, with the same parameters."},
		{name: "sort", kind: paramSort, form: true, doc: sort},
		formatParam(),
	}
}

// formatParam is how a list is written.
func formatParam() param {
	return param{name: "format", kind: paramEnum, form: true, enum: []string{"json", "csv", formatSheet}, doc: "The form of the answer, like the Accept header: csv for programs, sheet for spreadsheets."}
}

func pathParam(name string) param {
	return param{name: name, kind: paramText, inPath: true, doc: "The id, percent-encoded as one segment."}
}

func textParam(name, doc string) param { return param{name: name, kind: paramText, doc: doc} }

func asOfParam() param {
	return param{name: "asOf", kind: paramAsOf, doc: "From the records received up to this time, or up to this sequence."}
}

func zoneOfTimes() param {
	return param{name: "timezone", kind: paramZone, form: true, doc: "The IANA time zone of the times in format=sheet (default UTC)."}
}

// table is the whole API.
func (a *API) table() []*route {
	routes := slices.Concat(a.moreRoutes(), a.usageRoutes(), a.closingRoutes())
	for _, v := range a.views {
		switch {
		case v.name == viewSessions:
			routes = append(routes, a.sessionRoutes(v)...)
		case v.name == viewAttendance:
			routes = append(routes, a.attendanceRoutes(v)...)
		case !v.special:
			routes = append(routes, a.viewRoutes(v)...)
		}
	}
	return routes
}

// viewRoutes are the list and the item of a view without special ones.
func (a *API) viewRoutes(v *view) []*route {
	plural := strings.ToUpper(v.name[:1]) + v.name[1:]
	only := []string{v.name}
	return []*route{
		{path: "/v1/" + v.name, id: "list" + plural, summary: plural, params: listWith(v.params()...),
			item: v.item, fields: v.fields, list: true, views: only, answer: a.listView(v)},
		{path: "/v1/" + v.name + "/{" + v.id + "}", id: "get" + v.item, summary: "One " + v.noun, params: with(pathParam(v.id)),
			item: v.item, fields: v.fields, views: only, answer: a.itemOf(v)},
	}
}

func (a *API) sessionRoutes(v *view) []*route {
	live := slices.DeleteFunc(v.params(), func(p param) bool { return p.name == "status" || p.name == "stale" })
	live = append(live, param{name: "stale", kind: paramBool, doc: "true: stale sessions too."})
	return []*route{
		{path: "/v1/sessions", id: "listSessions", summary: "Sessions", params: listWith(v.params()...),
			item: v.item, fields: v.fields, list: true, views: sessionViews(), answer: a.listSessions},
		{path: "/v1/sessions/{sessionId}", id: "getSession", summary: "One session", params: with(pathParam("sessionId"), asOfParam()),
			item: v.item, fields: v.fields, views: sessionViews(), answer: a.session},
		{path: "/v1/meetings/live", id: "listLiveMeetings", summary: "The sessions that go on now, stale ones left out",
			params: listWith(live...), item: v.item, fields: v.fields, list: true, views: sessionViews(), answer: a.liveSessions},
		{path: "/v1/sessions/{sessionId}/events", id: "listSessionEvents", summary: "The records of a session", params: eventParams(pathParam("sessionId"),
			textParam("participantId", "Records of this person's connections."), textParam("type", "Records of this type, like meeting.participantLeft.")),
			item: "SessionEvent", fields: sessionEventFields(), list: true, raw: true, views: []string{viewSessions, viewAttendance}, answer: a.sessionEvents},
	}
}

func (a *API) attendanceRoutes(v *view) []*route {
	both := []string{viewSessions, viewAttendance}
	return []*route{
		{path: "/v1/participants", id: "listPeople", summary: "The people who were in any session, each once",
			params: listWith(param{name: "q", kind: paramSearch, doc: "Text in one of the person's names or in the id, whatever the letter case, accents and form of Unicode."}),
			item:   personItem, fields: peopleFields(), list: true, views: []string{viewAttendance}, answer: a.listPeople},
		{path: "/v1/sessions/{sessionId}/participants", id: "listParticipants", summary: "A session's participants",
			params: listWith(append(v.params(), pathParam("sessionId"), asOfParam())...), item: v.item, fields: v.fields, list: true, views: both, answer: a.listParticipants},
		{path: "/v1/participants/{participantId}/sessions", id: "listParticipantSessions", summary: "The sessions that a person was in",
			params: listWith(append(v.params(), pathParam("participantId"), param{name: "from", kind: paramTime, doc: "Started at or after this time."},
				param{name: "to", kind: paramTime, doc: "Started before this time."})...),
			item: "ParticipantSession", fields: a.personFields(), list: true, views: both, answer: a.personSessions},
	}
}

// usageRoutes are usage's rows, and what counts in part in them.
func (a *API) usageRoutes() []*route {
	days := func(more ...param) []param {
		return append(more,
			param{name: "from", kind: paramDate, doc: "First day, in the time zone."},
			param{name: "to", kind: paramDate, doc: "The day after the last one."},
			textParam("organizerId", "Sessions and recordings of this organizer."),
			textParam("meetingId", "Sessions and recordings of this meeting."),
			param{name: "timezone", kind: paramZone, doc: "The IANA time zone in which days begin, and of the times in format=sheet (default UTC)."})
	}
	return []*route{
		{path: "/v1/usage", id: "listUsage", summary: "What was used, by day, week or month, organizer and meeting",
			params: pagedWith(days(param{name: "groupBy", kind: paramList, enum: usageGroups, doc: "What a row is for (default day,organizer); repeated, or with commas. Of day, week and month at most one."})...),
			item:   usageItem, fields: usageFields(), list: true, views: []string{viewUsage, viewRecordings}, answer: a.usage},
		{path: "/v1/usage/cases", id: "getUsageCases", summary: "How many sessions that started on the days count in part, or under nobody", params: with(days()...),
			item: "UsageCases", fields: usageCasesFields(), views: []string{viewSessions}, answer: a.usageCases},
	}
}

func (a *API) moreRoutes() []*route {
	return []*route{
		{path: "/v1/projections", id: "listProjections", summary: "How far the projections are", params: listWith(),
			item: "Projection", fields: projectionFields(), list: true, answer: a.projections},
		{path: "/v1/pipeline", id: "getPipeline", summary: "What comes in, rebuilds and audits under way, and the processes at work", params: with(),
			item: "Pipeline", fields: pipelineFields(), answer: a.pipeline},
		{path: "/v1/events", id: "listEvents", summary: "The log's records", params: eventParams(),
			item: "Event", fields: eventFields(), list: true, raw: true, answer: a.listEvents},
		{path: "/v1/changes", id: "streamChanges", summary: "What changes in the views, as server-sent events", stream: a.changes,
			params: with(param{name: "views", kind: paramList, enum: a.viewNames(), doc: "The views to watch (default all)."})},
		{path: "/openapi.json", id: "getOpenAPI", summary: "This description", params: shared(), answer: a.openapi},
	}
}

// eventParams are those of a list of records.
func eventParams(params ...param) []param {
	params = append(params, param{name: "after", kind: paramSeq, doc: "Records after this sequence."})
	params = append(params, paging("A scalar field to sort by, with - in front for descending order. Without it, and with sequence, it is the log's order, and cheap; any other order reads the whole log for each page.")...)
	return with(append(params, zoneOfTimes())...)
}

// viewNames are the names of all views.
func (a *API) viewNames() []string {
	names := make([]string, len(a.views))
	for i, v := range a.views {
		names[i] = v.name
	}
	return names
}

// view is a view that there is: New has joined all of them.
func (a *API) view(name string) *view {
	return a.views[slices.IndexFunc(a.views, func(v *view) bool { return v.name == name })]
}
