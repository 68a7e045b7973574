package natsd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReadUsers: which users of a file the embedded server takes, and what the
// error of one that it does not take says of which.
func TestReadUsers(t *testing.T) {
	t.Parallel()
	const (
		nkey  = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
		named = "  - {name: a, password: 8letters, role: reader}\n"
		keyed = "  - {nkey: " + nkey + ", role: operator}\n"
	)
	for users, want := range map[string]string{
		named + keyed: "",
		"  - {name: a, password: 7letter, role: reader}\n":                       "user 1: want a name and a password of at least 8 characters",
		"  - {password: 8letters, role: reader}\n":                               "user 1: want a name and a password",
		named + "  - {name: b, password: 8letters, role: gardener}\n":            "user 2: role gardener: want one of ingester, operator, projector, query, reader",
		named + keyed + "  - {name: a, password: another password, role: query}": "user 3 is listed twice",
		keyed + keyed: "user 2 is listed twice",
		"  - {nkey: " + nkey + ", password: 8letters, role: reader}\n":         "user 1: has both",
		"  - {nkey: " + nkey + ", name: a, role: reader}\n":                    "user 1: has both",
		"  - {nkey: " + strings.ToLower(nkey) + ", role: reader}\n":            "user 1: nkey is no public user key",
		"  - {name: " + internalUser + ", password: 8letters, role: reader}\n": "is taken by the program",
		"  - {name: a, password: 12345678, role: reader}\n":                    "user 1: password is no text",
		"  - {name: a, password: 8letters, role: reader, rights: all}\n":       "user 1: unknown member rights",
		"  - somebody\n":    "user 1: want {name, password, role}",
		named + "more: 1\n": "want users: [",
		"  - {\n":           "read --nats-users ",
	} {
		path := filepath.Join(t.TempDir(), "users.yaml")
		if err := os.WriteFile(path, []byte("users:\n"+users), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadUsers(path)
		switch {
		case want == "":
			if all := []User{{Name: "a", Password: "8letters", Role: "reader"}, {NKey: nkey, Role: "operator"}}; err != nil || !slices.Equal(got, all) {
				t.Errorf("ReadUsers(%s) = %+v, %v; want %+v", users, got, err, all)
			}
		case err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path):
			t.Errorf("ReadUsers(%s) = %v; want an error of %s that says %q", users, err, path, want)
		}
	}
}
