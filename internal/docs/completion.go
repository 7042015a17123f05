package docs

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Completion writes the completion script of a shell: bash, zsh or fish.
func Completion(w io.Writer, app *kong.Application, shell string) error {
	var text string
	switch shell {
	case "bash":
		text = bash(app.Node)
	case "zsh":
		text = zsh(app.Node)
	case "fish":
		text = fish(app.Node)
	default:
		return fmt.Errorf("no completion for %q, only bash, zsh and fish", shell)
	}
	_, err := io.WriteString(w, text)
	return err
}

// values are the words a flag or argument can begin with: those of a list, or
// of the syntax of sources and sinks.
func values(v *kong.Value) []string {
	if v.Enum != "" {
		return strings.Split(v.Enum, ",")
	}
	switch v.Name {
	case "mic":
		return []string{"device", "file:", "tone:440", "speech", "silence"}
	case "speaker":
		return []string{"device", "file:", "null"}
	case "log-level":
		return []string{"trace", "debug", "info", "warn", "error"}
	}
	return nil
}

// isFile reports whether a value is the name of a file.
func isFile(v *kong.Value) bool {
	return v.Flag != nil && v.Flag.PlaceHolder == "FILE" || v.Name == "dir" || v.Name == "path"
}

// Lists of addresses, as the hidden command "complete" prints them.
const (
	people   = "people"   // with whom there were calls
	accounts = "accounts" // that are logged in
)

// addresses is the list a value is completed from, "" for values that are no
// address. The tag completes:"accounts" names it.
func addresses(v *kong.Value) string {
	switch {
	case v.Tag != nil && v.Tag.Get("completes") != "":
		return v.Tag.Get("completes")
	case v.Name == "jid" || v.Flag != nil && v.Flag.PlaceHolder == "JID":
		return people
	}
	return ""
}

func visible(flags []*kong.Flag) []*kong.Flag {
	return slices.DeleteFunc(slices.Clone(flags), func(f *kong.Flag) bool { return f.Hidden })
}

// words are the subcommands of n.
func words(n *kong.Node) (out []string) {
	for _, c := range n.Children {
		if !c.Hidden {
			out = append(out, c.Name)
		}
	}
	return out
}

// path is "contacts add", "" for the program.
func path(n *kong.Node) string {
	if n.Parent == nil {
		return ""
	}
	return strings.TrimSpace(path(n.Parent) + " " + n.Name)
}

// function is the name of the shell function that completes the program.
func function(root *kong.Node) string { return "_" + strings.ReplaceAll(root.Name, "-", "_") }

// lists are the lists of addresses that the program's arguments are of.
func lists(root *kong.Node) (out []string) {
	found := make(map[string]bool)
	for _, n := range append([]*kong.Node{root}, commands(root)...) {
		for _, p := range n.Positional {
			found[addresses(p)] = true
		}
		for _, f := range visible(n.Flags) {
			found[addresses(f.Value)] = true
		}
	}
	for _, list := range []string{people, accounts} {
		if found[list] {
			out = append(out, list)
		}
	}
	return out
}

// bashFlag is the pattern of a flag.
func bashFlag(f *kong.Flag) string {
	if f.Short != 0 {
		return fmt.Sprintf("--%s|-%c", f.Name, f.Short)
	}
	return "--" + f.Name
}

func bash(root *kong.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# bash completion of %[1]s

# Offers the lines of its input that begin with $cur. They are only compared
# and quoted: what strangers put into a name must never be expanded.
%[2]s_offer() {
    local line
    while IFS= read -r line; do
        [[ -n $line && $line == "$cur"* ]] && COMPREPLY+=("$(printf %%q "$line")")
    done
}

%[2]s_files() {
    local line
    compopt -o filenames 2>/dev/null # readline quotes them
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(compgen -f -- "$cur")
}

%[2]s() {
`, root.Name, function(root))
	b.WriteString(`    local cur prev words cword i path="" flags="" next="" list="" file=""
    COMPREPLY=()
    # A colon is part of words such as file:hello.wav.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n := cur prev words cword
    else
        cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    fi
    for ((i = 1; i < cword; i++)); do
        case "$path ${words[i]}" in
`)
	for _, n := range commands(root) {
		fmt.Fprintf(&b, "            %q) path=%q ;;\n", " "+path(n), " "+path(n))
	}
	b.WriteString("        esac\n    done\n    case $prev in\n")
	seen := make(map[string]bool)
	each(root, func(f *kong.Flag) {
		if f.IsBool() || seen[f.Name] {
			return
		}
		seen[f.Name] = true
		switch {
		case values(f.Value) != nil:
			fmt.Fprintf(&b, "        %s) next=%q ;;\n", bashFlag(f), strings.Join(values(f.Value), " "))
		case isFile(f.Value):
			fmt.Fprintf(&b, "        %s) %s_files; return ;;\n", bashFlag(f), function(root))
		case addresses(f.Value) != "":
			fmt.Fprintf(&b, "        %s) %s_offer < <(%s complete %s 2>/dev/null); return ;;\n", bashFlag(f), function(root), root.Name, addresses(f.Value))
		default:
			fmt.Fprintf(&b, "        %s) return ;;\n", bashFlag(f))
		}
	})
	fmt.Fprintf(&b, `    esac
    if [[ -n $next ]]; then
        %s_offer <<<"${next// /$'\n'}"
        declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
        return
    fi
    case $path in
`, function(root))
	for _, n := range append([]*kong.Node{root}, commands(root)...) {
		offered := words(n)
		more := ""
		for _, p := range n.Positional {
			offered = append(offered, values(p)...)
			if list := addresses(p); list != "" {
				more += " list=" + list
			}
			if isFile(p) {
				more += " file=yes"
			}
		}
		var flags []string
		for m := n; m != nil; m = m.Parent {
			for _, f := range visible(m.Flags) {
				flags = append(flags, "--"+f.Name)
			}
		}
		key := path(n)
		if key != "" {
			key = " " + key
		}
		fmt.Fprintf(&b, "        %q) next=%q flags=%q%s ;;\n", key, strings.Join(offered, " "), strings.Join(flags, " "), more)
	}
	fmt.Fprintf(&b, `    esac
    if [[ $cur == -* ]]; then
        next=$flags
    else
        [[ -n $list ]] && %[1]s_offer < <(%[2]s complete "$list" 2>/dev/null)
        [[ -n $file ]] && %[1]s_files
    fi
    %[1]s_offer <<<"${next// /$'\n'}"
}
complete -F %[1]s %[2]s
`, function(root), root.Name)
	return b.String()
}

// each calls f for every visible flag of the tree.
func each(n *kong.Node, f func(*kong.Flag)) {
	for _, flag := range visible(n.Flags) {
		f(flag)
	}
	for _, c := range n.Children {
		if !c.Hidden {
			each(c, f)
		}
	}
}

func zsh(root *kong.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n# zsh completion of %[1]s\n\n", root.Name)
	for _, list := range lists(root) { // compadd quotes what it offers
		fmt.Fprintf(&b, "%s_%s() {\n    local -a found\n    found=(${(f)\"$(%s complete %s 2>/dev/null)\"})\n    compadd -a found\n}\n\n", function(root), list, root.Name, list)
	}
	zshNode(&b, root, root)
	b.WriteString(function(root) + " \"$@\"\n")
	return b.String()
}

func zshName(n *kong.Node) string { return "_" + strings.ReplaceAll(pageName(n), "-", "_") }

func zshNode(b *strings.Builder, root, n *kong.Node) {
	for _, c := range n.Children {
		if !c.Hidden {
			zshNode(b, root, c)
		}
	}
	fmt.Fprintf(b, "%s() {\n    local curcontext=$curcontext state line\n    _arguments -C \\\n", zshName(n))
	for m := n; m != nil; m = m.Parent {
		for _, f := range visible(m.Flags) {
			fmt.Fprintf(b, "        '--%s[%s]%s' \\\n", f.Name, zshText(f.Help), zshValue(root, f.Value))
		}
	}
	if len(n.Children) == 0 {
		for i, p := range n.Positional {
			optional := ""
			if !p.Required {
				optional = ":"
			}
			fmt.Fprintf(b, "        '%d:%s%s%s' \\\n", i+1, optional, p.Name, zshAction(root, p))
		}
		b.WriteString("        && return 0\n}\n\n")
		return
	}
	b.WriteString("        '1: :->command' '*:: :->rest' && return 0\n    case $state in\n    command)\n        local -a commands\n        commands=(\n")
	for _, c := range n.Children {
		if !c.Hidden {
			fmt.Fprintf(b, "            '%s:%s'\n", c.Name, zshText(c.Help))
		}
	}
	b.WriteString("        )\n        _describe command commands ;;\n    rest)\n        case $line[1] in\n")
	for _, c := range n.Children {
		if !c.Hidden {
			fmt.Fprintf(b, "        %s) %s ;;\n", c.Name, zshName(c))
		}
	}
	b.WriteString("        esac ;;\n    esac\n}\n\n")
}

func zshValue(root *kong.Node, v *kong.Value) string {
	if v.IsBool() {
		return ""
	}
	return ":" + strings.ToLower(v.Flag.PlaceHolder) + zshAction(root, v)
}

func zshAction(root *kong.Node, v *kong.Value) string {
	switch {
	case values(v) != nil:
		var quoted []string
		for _, s := range values(v) {
			quoted = append(quoted, strings.ReplaceAll(s, ":", `\:`))
		}
		return ":(" + strings.Join(quoted, " ") + ")"
	case isFile(v):
		return ":_files"
	case addresses(v) != "":
		return ":" + function(root) + "_" + addresses(v)
	}
	return ":"
}

// zshText makes text that can stand inside [] of a specification in single quotes.
func zshText(s string) string {
	return strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
}

func fish(root *kong.Node) string {
	var b strings.Builder
	name := root.Name
	ask := func(list string) string { return "_" + function(root) + "_" + list }
	fmt.Fprintf(&b, "# fish completion of %s\n", name)
	for _, list := range lists(root) { // fish escapes it before it stands on the line
		fmt.Fprintf(&b, "function %s\n    %s complete %s 2>/dev/null\nend\n", ask(list), name, list)
	}
	fmt.Fprintf(&b, "complete -c %s -f\n", name)
	for _, n := range append([]*kong.Node{root}, commands(root)...) {
		where := fishWhere(n)
		for _, c := range n.Children {
			if !c.Hidden {
				fmt.Fprintf(&b, "complete -c %s -n %s -a %s -d %s\n", name, where, c.Name, fishText(c.Help))
			}
		}
		for _, p := range n.Positional {
			switch {
			case isFile(p) || addresses(p) != "":
				fmt.Fprintf(&b, "complete -c %s -n %s", name, where)
				if isFile(p) {
					b.WriteString(" -F")
				}
				if list := addresses(p); list != "" {
					fmt.Fprintf(&b, " -a '(%s)'", ask(list))
				}
				b.WriteString("\n")
			case values(p) != nil:
				fmt.Fprintf(&b, "complete -c %s -n %s -a %s\n", name, where, fishText(strings.Join(values(p), " ")))
			}
		}
		for _, f := range visible(n.Flags) {
			condition := ""
			if n.Parent != nil {
				condition = " -n " + fishText("__fish_seen_subcommand_from "+n.Name)
			}
			fmt.Fprintf(&b, "complete -c %s%s -l %s", name, condition, f.Name)
			if f.Short != 0 {
				fmt.Fprintf(&b, " -s %c", f.Short)
			}
			switch {
			case f.IsBool():
			case isFile(f.Value):
				b.WriteString(" -r -F")
			case addresses(f.Value) != "":
				fmt.Fprintf(&b, " -x -a '(%s)'", ask(addresses(f.Value)))
			case values(f.Value) != nil:
				b.WriteString(" -x -a " + fishText(strings.Join(values(f.Value), " ")))
			default:
				b.WriteString(" -x")
			}
			fmt.Fprintf(&b, " -d %s\n", fishText(f.Help))
		}
	}
	return b.String()
}

// fishWhere is the condition that the words so far name n and nothing below.
func fishWhere(n *kong.Node) string {
	if n.Parent == nil {
		return "__fish_use_subcommand"
	}
	test := "__fish_seen_subcommand_from " + n.Name
	if below := words(n); len(below) > 0 {
		test += "; and not __fish_seen_subcommand_from " + strings.Join(below, " ")
	}
	return fishText(test)
}

func fishText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
