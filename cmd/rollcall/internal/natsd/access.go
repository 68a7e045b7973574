package natsd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rollcall/eventlog"
)

// Three accounts live in the embedded server. The log and the views are in
// accountData, which only this program and users with a role reach. A client
// without credentials is in accountReaders, which holds nothing and imports
// what reads. Processes with --target=query are in accountQuery, which imports
// the same and answers questions of both: their inboxes and consumers are out of
// sight and reach of clients without credentials, which could otherwise have
// messages delivered into them.
//
// One account with publish permissions would not do: JetStream sends its
// answers to whatever reply subject a request names, and a push consumer to
// whatever deliver subject it names, with the server's own rights. A reader
// could so have the server write a record or a view. Across an account border
// answers come back in the reader's own account, where nothing listens but
// other readers.
const (
	accountData    = "ROLLCALL"
	accountReaders = "READERS"
	accountQuery   = "QUERY"
)

const (
	apiConsumer = "$JS.API.CONSUMER."
	apiNext     = apiConsumer + "MSG.NEXT."
)

// guardSubject is where consumer requests of an account come to the guard.
func guardSubject(account string) string { return "rollcall.guard." + account + "." }

// deliverSubject is where push consumers of an account deliver.
func deliverSubject(account string) string { return "rollcall.deliver." + account + "." }

// apiDirectRequest reads what its request names; where the subject goes on, it
// names the one message that is read.
const apiDirectRequest = "$JS.API.DIRECT.GET.*"

// readerRequests is what a reader may ask for: nothing that changes or removes
// anything. What names consumers goes through the guard, so that a reader sees
// those of readers alone: with another one's name it could pull records away from
// it. Names are random, and nothing else here reveals them.
var readerRequests = []string{
	"$JS.API.INFO",
	"$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*",
	apiDirectRequest, "$JS.API.DIRECT.GET.*.>",
	apiNext + "*.*",
	"$JS.ACK.>", "$JS.FC.>",
}

// questions are answered by this program and by processes with --target=query.
var questions = []string{"$SRV.>", "rollcall.query.>"}

// requestSubjects is where requests go: readers may not subscribe to them.
var requestSubjects = []string{"$JS.>", "$SRV.>", "rollcall.query.>", "rollcall.guard.>"}

// readerGuarded are the consumer requests that go through the guard.
var readerGuarded = []string{"CREATE.>", "DELETE.*.*", "NAMES.*", "LIST.*", "INFO.*.*"}

// readerSubscriptions is how many subscriptions readers have together: a record
// goes to each that wants it before it is stored.
const readerSubscriptions = 4096

// readerSubjects is what a reader may subscribe to as it is published.
var readerSubjects = []string{"rollcall.views.>", "rollcall.status.*", "meetings.>", "$KV.>"}

// role is what a user of --nats-users may do, in the account that it is in.
type role struct {
	account string
	publish []string
	deny    []string
	// subscribe and deaf are what a user may, and may not, subscribe to; an empty
	// subscribe is anything. Only a service may answer for a service.
	subscribe, deaf []string
	answers         bool
}

// jetStreamRead reads streams: information, single messages, own consumers.
func jetStreamRead(streams ...string) (subjects []string) {
	for _, s := range streams {
		subjects = append(subjects, "$JS.API.STREAM.INFO."+s, "$JS.API.STREAM.MSG.GET."+s, "$JS.API.DIRECT.GET."+s, "$JS.API.DIRECT.GET."+s+".>",
			"$JS.API.CONSUMER.CREATE."+s, "$JS.API.CONSUMER.CREATE."+s+".>", "$JS.API.CONSUMER.INFO."+s+".*",
			"$JS.API.CONSUMER.DELETE."+s+".*", "$JS.API.CONSUMER.MSG.NEXT."+s+".*", "$JS.ACK."+s+".>", "$JS.FC."+s+".>")
	}
	return subjects
}

// roles are the least rights of each part of Rollcall that runs as a process of
// its own, and of people.
func roles() map[string]role {
	common := []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"}
	// An ingester makes the log where there is none. It may not change one: with
	// another limit the server would remove what is in it.
	ingester := slices.Concat(common, jetStreamRead(eventlog.Stream), []string{"$JS.API.STREAM.CREATE." + eventlog.Stream, "meetings.*.*.*", "rollcall.status.*"})
	logWrite := []string{"meetings.>"}
	for _, verb := range []string{"CREATE", "UPDATE", "PURGE", "DELETE", "MSG.DELETE"} {
		logWrite = append(logWrite, "$JS.API.STREAM."+verb+"."+eventlog.Stream)
	}
	projector := slices.Concat(common, jetStreamRead(eventlog.Stream),
		// A wildcard can't stand for a part of a token, so "every stream whose
		// name starts with KV_" is every stream; the log's are denied again.
		[]string{
			"$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.PURGE.*", "$JS.API.STREAM.DELETE.*",
			"$JS.API.STREAM.MSG.GET.*", "$JS.API.DIRECT.GET.>", "$JS.API.CONSUMER.>", "$JS.ACK.>", "$JS.FC.>",
			"$KV.>", "rollcall.state.>", "rollcall.views.>", "rollcall.status.*",
		})
	query := slices.Concat(readerRequests, guardedSubjects(), []string{"$SYS.REQ.USER.INFO"})
	inboxes := []string{inbox + ">"}
	return map[string]role{
		"reader": {account: accountReaders, publish: slices.Concat(query, questions), deaf: requestSubjects},
		// A process with --target=query: reads as a reader does, and answers.
		"query":     {account: accountQuery, publish: query, deaf: []string{"$JS.>", "rollcall.guard.>"}, answers: true},
		"ingester":  {account: accountData, publish: ingester, subscribe: inboxes},
		"projector": {account: accountData, publish: projector, deny: logWrite, subscribe: inboxes},
		"operator":  {account: accountData, publish: []string{">"}},
	}
}

func guardedSubjects() (subjects []string) {
	for _, s := range readerGuarded {
		subjects = append(subjects, apiConsumer+s)
	}
	return subjects
}

// User is a user of --nats-users.
type User struct {
	Name     string
	Password string
	NKey     string
	Role     string
}

// accountsConfig is the accounts part of the embedded server's configuration,
// in nats-server's own language. internal is the program's own password, readers
// how many connections clients without credentials and users with the role reader
// have (0: no limit), and open says whether the former are let in.
func accountsConfig(internal string, users []User, readers int, open bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "accounts {\n  %s {\n    jetstream: enabled\n    users: [\n      {user: %q, password: %q}\n", accountData, internalUser, internal)
	writeUsers(&b, accountData, users)
	b.WriteString("    ]\n    exports: [\n")
	for _, s := range slices.Concat(readerRequests, questions) {
		fmt.Fprintf(&b, "      {service: %q, response: stream}\n", s)
	}
	for _, account := range []string{accountReaders, accountQuery} {
		for _, s := range readerGuarded {
			fmt.Fprintf(&b, "      {service: %q, response: stream, accounts: [%s]}\n", guardSubject(account)+s, account)
		}
		fmt.Fprintf(&b, "      {stream: %q, accounts: [%s]}\n", deliverSubject(account)+">", account)
	}
	for _, s := range readerSubjects {
		fmt.Fprintf(&b, "      {stream: %q}\n", s)
	}
	for _, s := range readerRequests {
		if passed(s) {
			fmt.Fprintf(&b, "      {service: %q, response: stream, accounts: [%s]}\n", readersAsk(s), accountReaders)
		}
	}
	fmt.Fprintf(&b, "    ]\n  }\n  %s {\n    users: [\n", accountQuery)
	writeUsers(&b, accountQuery, users)
	b.WriteString("    ]\n    exports: [\n")
	for _, s := range questions {
		fmt.Fprintf(&b, "      {service: %q, response: stream}\n", s)
	}
	b.WriteString("    ]\n    imports: [\n")
	writeImports(&b, accountQuery)
	fmt.Fprintf(&b, "    ]\n  }\n  %s {\n    users: [\n", accountReaders)
	fmt.Fprintf(&b, "      {user: %q, password: %q}\n", guardUser, internal)
	if open {
		fmt.Fprintf(&b, "      {user: %q, password: %q, permissions: %s}\n", anonymousUser, internal+"-unused", permissions("reader"))
	}
	writeUsers(&b, accountReaders, users)
	b.WriteString("    ]\n    imports: [\n")
	writeImports(&b, accountReaders)
	for _, account := range []string{accountData, accountQuery} {
		for _, s := range questions {
			fmt.Fprintf(&b, "      {service: {account: %s, subject: %q}}\n", account, s)
		}
	}
	b.WriteString("    ]\n")
	if readers > 0 {
		fmt.Fprintf(&b, "    limits: {max_connections: %d, max_subscriptions: %d}\n", readers, readerSubscriptions)
	}
	b.WriteString("  }\n}\n")
	if open {
		fmt.Fprintf(&b, "no_auth_user: %q\n", anonymousUser)
	}
	return b.String()
}

// writeImports writes what an account that reads has of the data account.
func writeImports(b *strings.Builder, account string) {
	for _, s := range readerRequests {
		if account == accountReaders && strings.HasPrefix(s, apiNext) {
			continue // the guard is in that account for pulls
		}
		from := s
		if account == accountReaders && passed(s) {
			from = readersAsk(s)
		}
		fmt.Fprintf(b, "      {service: {account: %s, subject: %q}, to: %q}\n", accountData, from, s)
	}
	for _, s := range readerGuarded {
		fmt.Fprintf(b, "      {service: {account: %s, subject: %q}, to: %q}\n", accountData, guardSubject(account)+s, apiConsumer+s)
	}
	for _, s := range readerSubjects {
		fmt.Fprintf(b, "      {stream: {account: %s, subject: %q}}\n", accountData, s)
	}
	fmt.Fprintf(b, "      {stream: {account: %s, subject: %q}, to: \"_INBOX.>\"}\n", accountData, deliverSubject(account)+">")
}

// Users of the embedded server that no file names.
const (
	internalUser  = "rollcall"
	guardUser     = "rollcall-guard" // in the readers' account
	anonymousUser = "anonymous"
)

func writeUsers(b *strings.Builder, account string, users []User) {
	for _, u := range users {
		if roles()[u.Role].account != account {
			continue
		}
		if u.NKey != "" {
			fmt.Fprintf(b, "      {nkey: %q, permissions: %s}\n", u.NKey, permissions(u.Role))
			continue
		}
		fmt.Fprintf(b, "      {user: %q, password: %q, permissions: %s}\n", u.Name, u.Password, permissions(u.Role))
	}
}

func permissions(name string) string {
	r := roles()[name]
	subjects := func(allow, deny []string) string {
		if len(allow) == 0 {
			return fmt.Sprintf("{deny: [%s]}", quotedList(deny))
		}
		return fmt.Sprintf("{allow: [%s], deny: [%s]}", quotedList(allow), quotedList(deny))
	}
	p := fmt.Sprintf("publish: %s, subscribe: %s", subjects(r.publish, r.deny), subjects(r.subscribe, r.deaf))
	if r.answers {
		p += ", allow_responses: {max: -1, expires: \"1m\"}" // a list in parts is several answers
	}
	return "{" + p + "}"
}

func quotedList(subjects []string) string {
	quoted := make([]string, len(subjects))
	for i, s := range subjects {
		quoted[i] = strconv.Quote(s)
	}
	return strings.Join(quoted, ", ")
}
