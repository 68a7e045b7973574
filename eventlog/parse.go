package eventlog

import (
	"bytes"
	"hash/maphash"
	"math"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits on what is kept of a text; see the package comment.
const (
	maxText  = 32 << 10
	maxTitle = 128 << 10
)

// tolerant is how every body is read: duplicate names and bad UTF-8 are counted
// at ingest (see [Identify]) and refused nowhere.
var tolerant = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// payload is a body as it was sent, before its meaning is settled. A member
// that stands twice has the value of the last one.
type payload struct {
	event               string
	meeting             meetingPart
	top                 meetingPart // the same members at top level
	participant         participantPart
	recording           recordingPart
	chat, script, brief artifactPart
	reason              string
	streamID, status    string
}

// meetingPart is the members of the meeting object.
type meetingPart struct {
	id, sessionID, title, roomName string
	organizer                      Organizer
	startedAt, endedAt             readTime
	stopReason                     []byte
}

// participantPart is the members of the participant object.
type participantPart struct {
	peerID, customID, clientID, name string
	joinedAt, leftAt                 readTime
}

// recordingPart is the members of the recording object, under all names that the
// generations use.
type recordingPart struct {
	id, recordingID, status             string
	meetingID, roomUUID, organizationID string
	outputFileName, errMessage          string
	stopReason                          []byte
	startedTime, stoppedTime, expiry    readTime
	fileSize, filesize                  readSize
	downloadURL, audioDownloadURL       string
	files, snakeFiles                   []File // of downloadUrl, of download_url
}

// artifactPart is a link with its expiry, as one of the artifact events has it.
type artifactPart struct {
	url    string
	expiry readTime
}

// readTime is a time member: t where it was readable, bad where it was not null
// and unreadable.
type readTime struct {
	t   Time
	bad bool
}

// readSize is a size member in bytes; ok where it was readable.
type readSize struct {
	n  int64
	ok bool
}

// parser reads one body. problems collects the names of members of the wrong
// type; prefix is where in the body the parser is, like "meeting.".
type parser struct {
	lex      lexer // of the body, unless it is slow
	slow     bool
	dec      jsontext.Decoder
	buf      bytes.Buffer
	prefix   string
	problems []string
	scratch  []byte
	seen     [seenTexts]string // see keep
	seed     maphash.Seed
}

const (
	seenTexts = 512
	seenBytes = 64
)

// keep returns b as a string, the same one as the last time where it can: the
// ids and titles of a meeting stand in each of its records.
func (x *parser) keep(b []byte) string {
	if len(b) > seenBytes {
		return string(b)
	}
	at := &x.seen[maphash.Bytes(x.seed, b)%seenTexts]
	if *at != string(b) {
		*at = string(b)
	}
	return *at
}

var parsers = sync.Pool{New: func() any { return newParser() }}

func newParser() *parser { return &parser{seed: maphash.MakeSeed()} }

// parse reads body into p, which is zero. It reports false where body is no JSON
// object.
func (x *parser) parse(body []byte, p *payload) bool {
	if x.parseFast(body, p) {
		return true
	}
	*p = payload{}
	return x.parseSlow(body, p)
}

// parseFast reads a usual body.
func (x *parser) parseFast(body []byte, p *payload) bool {
	x.slow, x.lex = false, lexer{b: body}
	x.prefix, x.problems = "", nil
	if x.kind() != '{' {
		return false
	}
	if err := x.object(func(name []byte) error { return x.topMember(name, p) }); err != nil {
		return false
	}
	x.lex.space()
	return x.lex.at == len(body)
}

func (x *parser) parseSlow(body []byte, p *payload) bool {
	x.slow = true
	x.buf = *bytes.NewBuffer(body)
	x.dec.Reset(&x.buf, tolerant)
	x.prefix, x.problems = "", nil
	if x.kind() != '{' {
		return false
	}
	if err := x.object(func(name []byte) error { return x.topMember(name, p) }); err != nil {
		return false
	}
	// Anything but white space after the object makes the body no JSON text.
	return x.dec.PeekKind() == 0 && len(bytes.TrimLeft(x.dec.UnreadBuffer(), " \t\r\n")) == 0
}

// kind is the kind of the next token; an invalid one where there is none.
func (x *parser) kind() jsontext.Kind {
	if x.slow {
		return x.dec.PeekKind()
	}
	return jsontext.Kind(x.lex.next())
}

// value reads a name or a value. It is valid until the next call.
func (x *parser) value() (jsontext.Value, error) {
	if x.slow {
		return x.dec.ReadValue()
	}
	return x.lex.value()
}

func (x *parser) skip() error {
	if x.slow {
		return x.dec.SkipValue()
	}
	_, err := x.lex.value()
	return err
}

// bracket reads the start or the end of an object.
func (x *parser) bracket(end bool) (err error) {
	switch {
	case x.slow:
		_, err = x.dec.ReadToken()
	case end:
		err = x.lex.end()
	default:
		err = x.lex.open()
	}
	return err
}

// object calls member with each name, which is good until member reads the
// value; it must consume that.
func (x *parser) object(member func(name []byte) error) error {
	if err := x.bracket(false); err != nil {
		return err
	}
	for x.kind() != '}' {
		raw, err := x.value()
		if err != nil {
			return err
		}
		if err := member(x.unquote(raw)); err != nil {
			return err
		}
	}
	return x.bracket(true)
}

// unquote returns what a JSON string says. It is valid until the next call of a
// method of x or its decoder.
func (x *parser) unquote(raw jsontext.Value) []byte {
	if len(raw) >= 2 && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return raw[1 : len(raw)-1] // as nearly all are
	}
	x.scratch, _ = jsontext.AppendUnquote(x.scratch[:0], raw)
	return x.scratch
}

// nested reads an object member, or marks it and skips it.
func (x *parser) nested(name, prefix string, member func(name []byte) error) error {
	switch x.kind() {
	case '{':
		outer := x.prefix
		x.prefix = prefix
		err := x.object(member)
		x.prefix = outer
		return err
	case 'n':
		return x.skip()
	}
	x.problem(name)
	return x.skip()
}

func (x *parser) problem(name string) { x.problems = append(x.problems, x.prefix+name) }

// text reads a string of at most limit bytes; a longer one is absent, or cut
// where cut is set.
func (x *parser) text(name string, to *string, limit int, cut bool) error {
	*to = ""
	raw, err := x.value()
	if err != nil {
		return err
	}
	if raw.Kind() != '"' {
		if raw.Kind() != 'n' {
			x.problem(name)
		}
		return nil
	}
	s := x.unquote(raw)
	if len(s) > limit {
		x.problem(name)
		if !cut {
			return nil
		}
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	*to = x.keep(s)
	return nil
}

// id reads an id, URL or status; label a text that is shown to people.
func (x *parser) id(name string, to *string) error    { return x.text(name, to, maxText, false) }
func (x *parser) label(name string, to *string) error { return x.text(name, to, maxText, true) }

func (x *parser) time(name string, to *readTime) error {
	*to = readTime{}
	raw, err := x.value()
	if err != nil {
		return err
	}
	switch raw.Kind() {
	case 'n':
		return nil
	case '"':
		if t, ok := ParseTime(string(x.unquote(raw))); ok {
			to.t = t
			return nil
		}
	}
	to.bad = true
	x.problem(name)
	return nil
}

// size reads a number of bytes, sent as a number or as numeric text.
func (x *parser) size(name string, to *readSize) error {
	*to = readSize{}
	raw, err := x.value()
	if err != nil || raw.Kind() == 'n' {
		return err
	}
	text := []byte(raw)
	if raw.Kind() == '"' {
		text = x.unquote(raw)
	}
	if raw.Kind() == '"' && !jsontext.Value(text).IsValid() || jsontext.Value(text).Kind() != '0' {
		x.problem(name)
		return nil
	}
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && n >= 0 {
		*to = readSize{n, true}
	} else if f, err := strconv.ParseFloat(string(text), 64); err == nil && f >= 0 && f < math.MaxInt64 {
		*to = readSize{int64(f), true}
	} else {
		x.problem(name)
	}
	return nil
}

// raw reads any value as it was sent, compacted, with bad UTF-8 replaced and no
// name twice: strict readers get it in a document.
func (x *parser) raw(name string, to *[]byte) error {
	*to = nil
	raw, err := x.value()
	if err != nil || raw.Kind() == 'n' || string(raw) == `""` {
		return err
	}
	if len(raw) > maxText {
		x.problem(name)
		return nil
	}
	value, err := jsontext.AppendFormat(nil, raw, tolerant)
	if err == nil {
		value, err = lastNames(value)
	}
	if err != nil {
		x.problem(name)
		return nil
	}
	*to = value
	return nil
}

// organizer reads organizedBy: an object or, in Dyte's first edition, the
// organizer's name alone.
func (x *parser) organizer(name string, to *Organizer) error {
	*to = Organizer{}
	switch x.kind() {
	case '"':
		return x.label(name, &to.Name)
	default:
		prefix := "organizedBy."
		if x.prefix != "" {
			prefix = "meeting.organizedBy."
		}
		return x.nested(name, prefix, func(member []byte) error {
			switch string(member) {
			case "id":
				return x.id("id", &to.ID)
			case "name":
				return x.label("name", &to.Name)
			}
			return x.skip()
		})
	}
}
