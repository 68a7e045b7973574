package projections_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
)

// undescribed is what a JSON object has that its fields do not say, and lacks
// that they say.
func undescribed(at string, fields []projections.Field, doc jsontext.Value) (wrong []string) {
	var object map[string]jsontext.Value
	if err := json.Unmarshal(doc, &object); err != nil {
		return []string{fmt.Sprintf("%s is no object: %v", at, err)}
	}
	for _, f := range fields {
		value, found := object[f.Name]
		delete(object, f.Name)
		switch name := at + "." + f.Name; {
		case !found && !f.Optional:
			wrong = append(wrong, name+" is missing")
		case !found:
		case value.Kind() == 'n' && !f.Nullable:
			wrong = append(wrong, name+" is null")
		case value.Kind() != 'n':
			wrong = append(wrong, unlike(name, f, value)...)
		}
	}
	for name := range object {
		wrong = append(wrong, at+"."+name+" is no field")
	}
	return wrong
}

// jsonKinds are the first characters of a kind's values.
var jsonKinds = map[projections.Kind]string{
	projections.KindText: `"`, projections.KindDate: `"`, projections.KindTime: `"`, projections.KindSeconds: "0", projections.KindInteger: "0", projections.KindBool: "tf",
	projections.KindTexts: "[", projections.KindObject: "{", projections.KindList: "[", projections.KindAny: `"0tf[{`,
}

// unlike is what is wrong with a value that is not null.
func unlike(name string, f projections.Field, value jsontext.Value) (wrong []string) {
	var text string
	switch {
	case !strings.ContainsRune(jsonKinds[f.Kind], rune(value.Kind())):
		return []string{fmt.Sprintf("%s is %s; want kind %d", name, value, f.Kind)}
	case f.Kind == projections.KindObject:
		return undescribed(name, f.Members, value)
	case f.Kind == projections.KindList:
		var list []jsontext.Value
		if err := json.Unmarshal(value, &list); err != nil {
			return []string{fmt.Sprintf("%s: %v", name, err)}
		}
		for i, element := range list {
			wrong = append(wrong, undescribed(fmt.Sprintf("%s[%d]", name, i), f.Members, element)...)
		}
	case f.Enum != nil && (json.Unmarshal(value, &text) != nil || !slices.Contains(f.Enum, text)):
		return []string{fmt.Sprintf("%s is %s; want one of %v", name, value, f.Enum)}
	}
	return wrong
}

// TestFieldsFindWhatIsWrong: the check that the scenarios' documents go through
// sees each way in which a document and its fields may differ.
func TestFieldsFindWhatIsWrong(t *testing.T) {
	fields := []projections.Field{{Name: "a", Kind: projections.KindText, Enum: []string{"x"}}, {Name: "b", Kind: projections.KindList, Nullable: true,
		Members: []projections.Field{{Name: "c", Kind: projections.KindInteger}}}}
	for doc, want := range map[string]string{
		`{"a":"x","b":null}`: "", `{"a":"x","b":[{"c":1}]}`: "",
		`{"a":"x"}`: "d.b is missing", `{"a":null,"b":null}`: "d.a is null", `{"a":"x","b":null,"z":1}`: "d.z is no field", `[]`: "d is no object",
		`{"a":1,"b":null}`: "d.a is 1", `{"a":"y","b":null}`: `d.a is "y"; want one of`, `{"a":"x","b":[{"c":"1"}]}`: `d.b[0].c is "1"`,
	} {
		got := strings.Join(undescribed("d", fields, jsontext.Value(doc)), "; ")
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("undescribed(%s) = %q; want %q", doc, got, want)
		}
	}
}

// TestFieldsAreTheDocuments: the fields of a view are the members that Parse
// reads, in the same order, and each says what it means.
func TestFieldsAreTheDocuments(t *testing.T) {
	for _, v := range projections.Views() {
		checkFields(t, v.Fold.Name(), v.Fields, reflect.TypeOf(v.Document))
	}
	checkFields(t, "a session's recordings", projections.RecordingRefFields(), reflect.TypeFor[projections.RecordingRef]())
	checkFields(t, "a participant's gaps", projections.GapFields(), reflect.TypeFor[projections.Gap]())
	for _, f := range slices.Concat(projections.UsageRowFields(), projections.PersonFields()) {
		checkField(t, "what is asked", f)
	}
}

func checkFields(t *testing.T, at string, fields []projections.Field, typ reflect.Type) {
	t.Helper()
	var names, tags []string
	for _, f := range fields {
		names = append(names, f.Name)
		checkField(t, at, f)
	}
	for i := range typ.NumField() {
		member := typ.Field(i)
		tags = append(tags, member.Tag.Get("json"))
		if i < len(fields) && fields[i].Members != nil {
			inner := member.Type
			if inner.Kind() != reflect.Struct {
				inner = inner.Elem()
			}
			checkFields(t, at+"."+fields[i].Name, fields[i].Members, inner)
		}
	}
	if !slices.Equal(names, tags) {
		t.Errorf("fields of %s = %v; Parse reads %v", at, names, tags)
	}
}

func checkField(t *testing.T, at string, f projections.Field) {
	t.Helper()
	if !strings.HasSuffix(f.Doc, ".") {
		t.Errorf("%s.%s is documented by %q; want a sentence", at, f.Name, f.Doc)
	}
	for _, unit := range []string{"seconds", "bytes"} {
		if in := strings.HasSuffix(strings.ToLower(f.Name), unit); in != (f.Unit == unit) {
			t.Errorf("%s.%s has unit %q; want the one in its name", at, f.Name, f.Unit)
		}
	}
}
