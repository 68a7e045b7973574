package console

import (
	"net/url"
	"strings"
)

// RedactURL hides what may be a secret in an address, or a list of them.
func RedactURL(address string) string {
	parts := strings.Split(address, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		if err != nil {
			parts[i] = "(unreadable address)"
			continue
		}
		if u.User != nil {
			u.User = url.User("redacted")
		}
		u.RawQuery = ""
		parts[i] = u.String()
	}
	return strings.Join(parts, ",")
}
