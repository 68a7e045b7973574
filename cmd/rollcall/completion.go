package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd is `rollcall completion`.
type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Help is the command's example.
func (completionCmd) Help() string {
	return "Example:\n  source <(rollcall completion bash)"
}

// Run prints the script, made from the grammar itself.
func (c *completionCmd) Run(a *app) error {
	var b strings.Builder
	switch c.Shell {
	case "fish":
		fishCompletion(&b, a.parsed.Model.Node)
	default:
		if c.Shell == "zsh" {
			b.WriteString("autoload -U +X bashcompinit && bashcompinit\n")
		}
		bashCompletion(&b, a.parsed.Model.Node)
	}
	_, err := fmt.Fprint(a.Stdout, b.String())
	return err
}

// visit calls fn for each command with the words that lead to it.
func visit(n *kong.Node, path []string, fn func(path []string, n *kong.Node)) {
	fn(path, n)
	for _, child := range n.Children {
		visit(child, append(path[:len(path):len(path)], child.Name), fn)
	}
}

// values are what may follow a flag that takes one of a few.
func values(f *kong.Flag) string { return strings.Join(f.EnumSlice(), " ") }

// arguments are what a command's arguments may be, where that is known: the views.
func arguments(n *kong.Node) (words []string) {
	for _, arg := range n.Positional {
		if arg.Name == "view" {
			words = append(words, viewNames()...)
		}
	}
	return words
}

// bashCompletion writes what bash from 3.2 on and zsh understand: mapfile is
// missing in both, and path and words mean something to zsh.
func bashCompletion(b *strings.Builder, root *kong.Node) {
	b.WriteString("_rollcall() {\n  local chain=\"\" word choice before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n" +
		"    case \"$word\" in -*) ;; *) chain=\"${chain:+$chain }$word\" ;; esac\n  done\n  case \"$chain\" in\n")
	visit(root, nil, func(path []string, n *kong.Node) {
		words := arguments(n)
		for _, child := range n.Children {
			words = append(words, child.Name)
		}
		for _, group := range n.AllFlags(true) {
			for _, f := range group {
				words = append(words, "--"+f.Name)
			}
		}
		pattern := fmt.Sprintf("%q", strings.Join(path, " "))
		if len(n.Children) == 0 {
			pattern += "*" // arguments may follow
		}
		fmt.Fprintf(b, "    %s) choice=%q\n      case \"$before\" in\n", pattern, strings.Join(words, " "))
		for _, group := range n.AllFlags(true) {
			for _, f := range group {
				if f.Enum != "" {
					fmt.Fprintf(b, "        %s) choice=%q ;;\n", flagPattern(f), values(f))
				}
			}
		}
		b.WriteString("      esac ;;\n")
	})
	b.WriteString("    *) choice=\"\" ;;\n  esac\n  COMPREPLY=($(compgen -W \"$choice\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n" +
		"complete -o default -F _rollcall rollcall\n")
}

// flagPattern matches a flag's names in a shell's case.
func flagPattern(f *kong.Flag) string {
	if f.Short != 0 {
		return "--" + f.Name + "|-" + string(f.Short)
	}
	return "--" + f.Name
}

func fishCompletion(b *strings.Builder, root *kong.Node) {
	visit(root, nil, func(path []string, n *kong.Node) {
		condition := "__fish_use_subcommand"
		if len(path) > 0 {
			condition = "__fish_seen_subcommand_from " + path[len(path)-1]
		}
		for _, child := range n.Children {
			fmt.Fprintf(b, "complete -c rollcall -n %q -f -a %s -d %q\n", condition, child.Name, child.Help)
		}
		for _, word := range arguments(n) {
			fmt.Fprintf(b, "complete -c rollcall -n %q -f -a %s\n", condition, word)
		}
		for _, f := range n.Flags {
			fmt.Fprintf(b, "complete -c rollcall -n %q -l %s -d %q", condition, f.Name, f.Help)
			if f.Enum != "" {
				fmt.Fprintf(b, " -x -a %q", values(f))
			}
			b.WriteString("\n")
		}
	})
}
