// Package docs makes man pages and shell completions from the command tree, so
// that they say what the program does.
package docs

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// A Page is one man page.
type Page struct {
	Name string // of the file, for example "carillon-call.1"
	Text []byte
}

// ManPages returns a page for the program and one for each command that is not
// hidden.
func ManPages(app *kong.Application, version string) []Page {
	pages := []Page{page(app.Node, app.Node, version)}
	for _, n := range commands(app.Node) {
		pages = append(pages, page(app.Node, n, version))
	}
	return pages
}

// commands lists all commands below n that can be used and seen.
func commands(n *kong.Node) (out []*kong.Node) {
	for _, c := range n.Children {
		if c.Hidden {
			continue
		}
		out = append(out, c)
		out = append(out, commands(c)...)
	}
	return out
}

// pageName is "carillon-contacts-add".
func pageName(n *kong.Node) string {
	if n.Parent == nil {
		return n.Name
	}
	return pageName(n.Parent) + "-" + n.Name
}

func page(root, n *kong.Node, version string) Page {
	var b strings.Builder
	name := pageName(n)
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"%s %s\" \"Carillon\"\n", quote(strings.ToUpper(name)), roff(root.Name), roff(version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(strings.TrimSuffix(n.Help, ".")))
	b.WriteString(".SH SYNOPSIS\n" + synopsis(root, n))
	if n.Detail != "" {
		b.WriteString(".SH DESCRIPTION\n" + prose(n.Detail))
	}
	if len(n.Positional) > 0 {
		b.WriteString(".SH ARGUMENTS\n")
		for _, p := range n.Positional {
			fmt.Fprintf(&b, ".TP\n\\fI%s\\fR\n%s\n", roff(strings.ToUpper(p.Name)), roff(p.Help))
		}
	}
	if len(n.Children) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, c := range n.Children {
			if !c.Hidden {
				fmt.Fprintf(&b, ".TP\n\\fB%s\\fR(1)\n%s\n", roff(pageName(c)), roff(c.Help))
			}
		}
	}
	options(&b, "OPTIONS", n.Flags)
	if n != root {
		options(&b, "GLOBAL OPTIONS", root.Flags)
		fmt.Fprintf(&b, ".SH SEE ALSO\n\\fB%s\\fR(1)\n", roff(pageName(n.Parent)))
	}
	return Page{Name: name + ".1", Text: []byte(b.String())}
}

func synopsis(root, n *kong.Node) string {
	s := "\\fB" + roff(strings.TrimSpace(root.Name+" "+path(n))) + "\\fR"
	if len(n.Children) > 0 {
		s += " \\fIcommand\\fR"
	}
	for _, p := range n.Positional {
		arg := "\\fI" + roff(strings.ToUpper(p.Name)) + "\\fR"
		if !p.Required {
			arg = "[" + arg + "]"
		}
		s += " " + arg
	}
	return s + " [\\fIoptions\\fR]\n"
}

func options(b *strings.Builder, title string, flags []*kong.Flag) {
	open := false
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		if !open {
			b.WriteString(".SH " + title + "\n")
			open = true
		}
		name := "\\fB\\-\\-" + roff(f.Name) + "\\fR"
		if f.Short != 0 {
			name = fmt.Sprintf("\\fB\\-%c\\fR, %s", f.Short, name)
		}
		if !f.IsBool() {
			name += "=\\fI" + roff(f.PlaceHolder) + "\\fR"
		}
		fmt.Fprintf(b, ".TP\n%s\n%s\n", name, roff(f.Help))
	}
}

// prose turns the text of a Help method into paragraphs and examples: what is
// indented is set as it is.
func prose(text string) string {
	var b strings.Builder
	example := false
	for i, line := range strings.Split(text, "\n") {
		indented := strings.HasPrefix(line, "    ")
		switch {
		case indented && !example:
			b.WriteString(".PP\n.RS 4\n.nf\n")
		case !indented && example && line != "":
			b.WriteString(".fi\n.RE\n")
		}
		if line == "" {
			if !example {
				b.WriteString(".PP\n")
			}
			continue
		}
		if i > 0 && !indented && example {
			b.WriteString(".PP\n")
		}
		example = indented
		b.WriteString(roff(strings.TrimPrefix(line, "    ")) + "\n")
	}
	if example {
		b.WriteString(".fi\n.RE\n")
	}
	return b.String()
}

// roff makes text that troff sets as it is.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func quote(s string) string { return `"` + roff(s) + `"` }
