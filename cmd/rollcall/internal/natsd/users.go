package natsd

import (
	"maps"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/nats-io/nkeys"

	"rollcall/cmd/rollcall/internal/console"
)

// ReadUsers reads the file of --nats-users:
//
//	users:
//	  - {name: dashboards, password: "…", role: reader}
//	  - {nkey: U…, role: projector}
//
// The roles are reader, query, ingester, projector and operator.
func ReadUsers(path string) ([]User, error) {
	b, err := console.ReadSmallFile("--nats-users", path)
	if err != nil {
		return nil, err
	}
	doc, err := yaml.Parser().Unmarshal(b)
	if err != nil {
		return nil, console.Usagef("read --nats-users %s: %w", path, err)
	}
	list, ok := doc["users"].([]any)
	if !ok || len(doc) != 1 {
		return nil, console.Usagef("read --nats-users %s: want users: [{name: a, password: b, role: reader}]", path)
	}
	var users []User
	for i, item := range list {
		u, problem := userOf(item)
		if problem != "" {
			return nil, console.Usagef("read --nats-users %s: user %d: %s", path, i+1, problem)
		}
		if slices.ContainsFunc(users, func(other User) bool { return other.Name == u.Name && other.NKey == u.NKey }) {
			return nil, console.Usagef("read --nats-users %s: user %d is listed twice", path, i+1)
		}
		users = append(users, u)
	}
	return users, nil
}

// userOf reads a user of the file. problem says in words what is wrong with it,
// without a password.
func userOf(item any) (u User, problem string) {
	members, ok := item.(map[string]any)
	if !ok {
		return u, "want {name, password, role} or {nkey, role}"
	}
	for key, value := range members {
		s, ok := value.(string)
		if !ok {
			return u, key + " is no text; put it in quotes"
		}
		switch key {
		case "name":
			u.Name = s
		case "password":
			u.Password = s
		case "nkey":
			u.NKey = s
		case "role":
			u.Role = s
		default:
			return u, "unknown member " + key
		}
	}
	switch known := slices.Sorted(maps.Keys(roles())); {
	case !slices.Contains(known, u.Role):
		return u, "role " + u.Role + ": want one of " + strings.Join(known, ", ")
	case u.NKey == "" && (u.Name == "" || len(u.Password) < 8):
		return u, "want a name and a password of at least 8 characters, or an nkey"
	case u.NKey != "" && (u.Name != "" || u.Password != ""):
		return u, "has both an nkey and a name or password; want one of them"
	case u.NKey != "" && !nkeys.IsValidPublicUserKey(u.NKey):
		return u, "nkey is no public user key (U…)"
	case slices.Contains([]string{internalUser, guardUser, anonymousUser, localUser}, u.Name):
		return u, "name " + u.Name + " is taken by the program"
	}
	return u, ""
}
