package main

import (
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// closest are the names that a mistyped word may stand for.
func closest(word string, names []string) (near []string) {
	for _, name := range names {
		if d := distance(word, name); d <= 1 || d == 2 && len(word) > 4 {
			near = append(near, name)
		}
	}
	return near
}

// distance is how many letters have to be changed, added or left out to make one word
// of another (Levenshtein).
func distance(from, to string) int {
	row := make([]int, len(to)+1) // of the letters of from so far, to each beginning of to
	for j := range row {
		row[j] = j
	}
	for i := range len(from) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(to) {
			changed := corner
			if from[i] != to[j] {
				changed++
			}
			corner = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}

// unexpected is what kong says of a word that is no command there.
var unexpected = regexp.MustCompile(`^unexpected argument (\S+)$`)

// meant is a question that names the commands that a refused word may stand for, of those
// elsewhere too where there is none; "": there is none.
func meant(root *kong.Node, args []string, refused error) string {
	m := unexpected.FindStringSubmatch(refused.Error())
	if m == nil {
		return ""
	}
	before := ""
	if len(args) > 0 && args[0] != m[1] {
		before = args[0] + " "
	}
	var here, elsewhere []string
	visit(root, nil, func(path []string, n *kong.Node) {
		if len(path) == 0 || n.Hidden || len(closest(m[1], path[len(path)-1:])) == 0 {
			return
		}
		command := strings.Join(path, " ")
		if elsewhere = append(elsewhere, "`rollcall "+command+"`"); before != "" && strings.HasPrefix(command, before) {
			here = append(here, "`rollcall "+command+"`")
		}
	})
	if len(here) == 0 {
		here = elsewhere
	}
	return question(here)
}

// question asks whether one of the names was meant.
func question(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "did you mean " + strings.Join(names, " or ") + "?"
}

// viewsThereAre says which views there are, and first which of them a mistyped one may
// stand for.
func viewsThereAre(view string) string {
	all := strings.Join(viewNames(), ", ")
	if ask := question(closest(view, viewNames())); ask != "" {
		return ask + " There are " + all
	}
	return "there are " + all
}
