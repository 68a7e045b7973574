package query

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rollcall/ingest/web"
)

// Role is what the holder of a token may read.
type Role string

// The roles, each of which may do what those before it may.
const (
	// RoleViewer reads the views without download links, and no records.
	RoleViewer Role = "viewer"
	// RoleReader reads everything.
	RoleReader Role = "reader"
	// RoleOperator may have profiles of the process too; see Caller.
	RoleOperator Role = "operator"
)

// Token is a bearer token, and who has it.
type Token struct {
	// Name stands in the access log.
	Name   string
	Role   Role
	Secret string
}

// CheckAddr refuses an address that others can reach while everybody is let in:
// it must be loopback, or there are tokens, or insecure is set on purpose.
func CheckAddr(addr string, tokens []Token, insecure bool) error {
	if insecure || len(tokens) > 0 || web.Loopback(addr) {
		return nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("api address %q: %w: give host:port", addr, err)
	}
	return fmt.Errorf("api address %s is not loopback and nobody has to show a token: give --api-token-file, or --insecure", addr)
}

// leastSecret is the length of the shortest token that is taken.
const leastSecret = 16

// tokenName is the form of a token's name.
var tokenName = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)

// ReadTokens reads a file of bearer tokens, a line "NAME ROLE TOKEN" each; empty
// lines and those that begin with # are left out. A line with a token alone is a
// reader named by the line, like line-3. Two tokens of one name let one be replaced
// by the other. Errors name the line, and nothing that stands in it.
func ReadTokens(file string) ([]Token, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read token file: %w", err)
	}
	var tokens []Token
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		t, err := readToken(words, n)
		if err == nil {
			err = t.besides(tokens)
		}
		if err != nil {
			return nil, fmt.Errorf("token file %s: line %d: %w", file, n, err)
		}
		tokens = append(tokens, t)
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("token file %s holds no token: give a line NAME ROLE TOKEN to each", file)
	}
	return tokens, nil
}

// readToken reads the words of a line.
func readToken(words []string, line int) (t Token, err error) {
	switch len(words) {
	case 1:
		t = Token{Name: "line-" + strconv.Itoa(line), Role: RoleReader, Secret: words[0]}
	case 3:
		t = Token{Name: words[0], Role: Role(words[1]), Secret: words[2]}
	default:
		return t, fmt.Errorf("it has %d words: want NAME ROLE TOKEN, or a token alone", len(words))
	}
	switch {
	case !tokenName.MatchString(t.Name):
		return t, errors.New("bad name, the first word: use 1 to 64 of A-Z, a-z, 0-9 and ._@-")
	case !slices.Contains([]Role{RoleViewer, RoleReader, RoleOperator}, t.Role):
		return t, fmt.Errorf("no such role, the second word: want %s, %s or %s", RoleViewer, RoleReader, RoleOperator)
	case len(t.Secret) < leastSecret:
		return t, fmt.Errorf("a token is shorter than %d characters: make one with `openssl rand -hex 32`", leastSecret)
	}
	return t, nil
}

// besides refuses a token that leaves unclear, beside the others, who its holder
// is or what the holder may do.
func (t Token) besides(others []Token) error {
	for _, o := range others {
		switch {
		case o.Name == t.Name && o.Role != t.Role:
			return errors.New("the name has another role in a line before: a name has one role")
		case o.Secret == t.Secret && o.Role != t.Role:
			return errors.New("the token has another role in a line before: give each its own")
		}
	}
	return nil
}

// doors are the tokens that are let in now.
type doors struct {
	tokens []Token
	sums   [][sha256.Size]byte
	// replaced ends when others are let in.
	replaced context.Context
	replace  context.CancelFunc
}

// SetTokens replaces the tokens that are let in, from the next request on. Change
// feeds end, and their clients ask again. One goroutine at a time may call it.
func (a *API) SetTokens(tokens []Token) {
	before := a.doors.Load()
	if before != nil && slices.Equal(before.tokens, tokens) {
		return
	}
	d := doorsOf(tokens)
	d.replaced, d.replace = context.WithCancel(context.Background())
	a.doors.Store(d)
	if before != nil {
		before.replace()
	}
}

func doorsOf(tokens []Token) *doors {
	d := &doors{tokens: slices.Clone(tokens), sums: make([][sha256.Size]byte, len(tokens))}
	for i, t := range tokens {
		d.sums[i] = sha256.Sum256([]byte(t.Secret))
	}
	return d
}

// Caller is whose token a request shows; known is false where it shows none of these.
func Caller(tokens []Token, req *http.Request) (who Token, known bool) {
	return doorsOf(tokens).caller(req)
}

// caller is whose token a request shows. It compares with every known one, in
// constant time.
func (d *doors) caller(req *http.Request) (who Token, known bool) {
	scheme, secret, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return Token{}, false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	at := -1
	for i := range d.sums {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], d.sums[i][:]), i, at)
	}
	if at < 0 {
		return Token{}, false
	}
	return d.tokens[at], true
}

// callerKey is the key of a request's admission in its context.
type callerKey struct{}

// admission is who was let in, and by which tokens.
type admission struct {
	who Token
	by  *doors
}

// viewer reports whether who asks may only look at views: not at records, nor at
// download links. Where no token is asked for, and over NATS, all may be read.
func viewer(ctx context.Context) bool {
	in, _ := ctx.Value(callerKey{}).(admission)
	return in.who.Role == RoleViewer
}
