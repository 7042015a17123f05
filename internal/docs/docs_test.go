package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// small is a command line with one of everything.
type small struct {
	Config string `placeholder:"FILE" help:"A file."`
	Who    string `short:"w" placeholder:"JID" completes:"accounts" help:"As whom."`
	Loud   bool   `short:"l" help:"It's [very] loud: really."`
	Secret string `hidden:"" help:"Not shown."`

	Call struct {
		JID string `arg:"" name:"jid" help:"Whom."`
		Mic string `placeholder:"SOURCE" help:"What."`
	} `cmd:"" help:"Call somebody."`
	Contacts struct {
		Add struct {
			JID  string `arg:"" name:"jid" help:"Whom."`
			Name string `placeholder:"NAME" help:"How."`
		} `cmd:"" help:"Add one."`
	} `cmd:"" help:"Contacts."`
	Completion struct {
		Shell string `arg:"" enum:"bash,zsh,fish" help:"Which."`
	} `cmd:"" help:"Completion."`
	Hidden struct{} `cmd:"" hidden:"" help:"Not shown."`
}

func model(t *testing.T) *kong.Application {
	t.Helper()
	k, err := kong.New(new(small), kong.Name("carillon"), kong.Description("Calls."), kong.NoDefaultHelp())
	if err != nil {
		t.Fatal(err)
	}
	return k.Model
}

func TestManPages(t *testing.T) {
	pages := make(map[string]string)
	for _, p := range ManPages(model(t), "1.2-rc") {
		pages[p.Name] = string(p.Text)
	}
	for _, name := range []string{"carillon.1", "carillon-call.1", "carillon-contacts.1", "carillon-contacts-add.1", "carillon-completion.1"} {
		if pages[name] == "" {
			t.Errorf("there is no page %s", name)
		}
	}
	if len(pages) != 5 {
		t.Errorf("%d pages, want 5", len(pages))
	}
	for page, wants := range map[string][]string{
		"carillon.1":              {".SH NAME\ncarillon \\- Calls\n", "\\fB\\-l\\fR, \\fB\\-\\-loud\\fR", "\\fB\\-\\-config\\fR=\\fIFILE\\fR", "\\fBcarillon\\-call\\fR(1)"},
		"carillon-contacts-add.1": {"\\fBcarillon contacts add\\fR \\fIJID\\fR", ".SH GLOBAL OPTIONS", "\\fBcarillon\\-contacts\\fR(1)"},
	} {
		for _, want := range wants {
			if !strings.Contains(pages[page], want) {
				t.Errorf("%s lacks %q:\n%s", page, want, pages[page])
			}
		}
		if strings.Contains(pages[page], "Not shown") {
			t.Errorf("%s shows what is hidden", page)
		}
	}
}

func TestProse(t *testing.T) {
	got := prose("One.\n\n    $ a --b\n    $ c\n\n.Two starts with a dot.")
	want := "One.\n.PP\n.PP\n.RS 4\n.nf\n$ a \\-\\-b\n$ c\n.fi\n.RE\n.PP\n\\&.Two starts with a dot.\n"
	if got != want {
		t.Errorf("prose:\n got %q\nwant %q", got, want)
	}
}

// complete asks bash what it would complete.
func complete(t *testing.T, script string, words ...string) string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	cmd := exec.Command(bash, append([]string{"--norc", "-c", script + `
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _carillon; echo "${COMPREPLY[*]}"`, "x"}, words...)...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestBashCompletion(t *testing.T) {
	var b bytes.Buffer
	if err := Completion(&b, model(t), "bash"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ line, want string }{
		{"carillon ", "call contacts completion"},
		{"carillon con", "contacts"},
		{"carillon contacts ", "add"},
		{"carillon contacts add --", "--name --config --who --loud"},
		{"carillon call bob --mic ", "device file: tone:440 speech silence"},
		{"carillon --loud completion z", "zsh"},
	} {
		if got := complete(t, b.String(), strings.Split(tt.line, " ")...); got != tt.want {
			t.Errorf("completion of %q = %q, want %q", tt.line, got, tt.want)
		}
	}
}

func TestOtherShells(t *testing.T) {
	for shell, wants := range map[string][]string{
		"zsh": {"#compdef carillon\n", "'--loud[It'\\''s \\[very\\] loud\\: really.]'", "'--mic[What.]:source:(device file\\: tone\\:440 speech silence)'",
			"'1:shell:(bash zsh fish)'", "call) _carillon_call ;;"},
		"fish": {"complete -c carillon -n __fish_use_subcommand -a call -d 'Call somebody.'",
			"complete -c carillon -l loud -s l -d 'It\\'s [very] loud: really.'",
			"-n '__fish_seen_subcommand_from call' -l mic -x -a 'device file: tone:440 speech silence'"},
	} {
		var b bytes.Buffer
		if err := Completion(&b, model(t), shell); err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s completion lacks %q:\n%s", shell, want, &b)
			}
		}
		if strings.Contains(b.String(), "hidden") || strings.Contains(b.String(), "secret") {
			t.Errorf("%s completion shows what is hidden", shell)
		}
		if path, err := exec.LookPath(shell); err == nil {
			cmd := exec.Command(path, "-n", "/dev/stdin")
			cmd.Stdin = &b
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s does not understand it: %v\n%s", shell, err, out)
			}
		}
	}
	if err := Completion(new(bytes.Buffer), model(t), "tcsh"); err == nil {
		t.Error("there is a completion for tcsh")
	}
}

// hostile is a carillon whose history has callers with names for shells. The
// real one does not print them; the completions must not trust it.
const hostile = `#!/bin/sh
case "$*" in
"complete people") printf '%s\n' '$(touch${IFS}pwned)@x' '` + "`touch${IFS}pwned`" + `@x' ';touch pwned;@x' 'bob@example.org' 'bo*@x' ;;
"complete accounts") echo me@example.org ;;
esac
`

// TestNamesOfStrangersAreNotExpanded completes people, among them some whose
// names are commands.
func TestNamesOfStrangersAreNotExpanded(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "carillon"), []byte(hostile), 0o755); err != nil {
		t.Fatal(err)
	}
	bash := func(script string, words ...string) []string {
		return append([]string{"--norc", "-c", script + `
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _carillon; eval "printf '%s\n' ${COMPREPLY[*]}"`, "x"}, words...)
	}
	zsh := func(script string, words ...string) []string {
		list := "people"
		if words[len(words)-2] == "--who" {
			list = "accounts"
		}
		// _arguments works inside of a completion only; what it calls is here.
		return []string{"-f", "-c", "_arguments() { }\ncompadd() { print -rl -- $found }\nset --\n" + script + "\n_carillon_" + list}
	}
	fish := func(script string, words ...string) []string {
		return []string{"--no-config", "-c", script + "\ncomplete -C " + fishText(strings.Join(words, " "))}
	}
	for shell, args := range map[string]func(string, ...string) []string{"bash": bash, "zsh": zsh, "fish": fish} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(shell + " is not installed")
			}
			var b bytes.Buffer
			if err := Completion(&b, model(t), shell); err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct{ words, want, not string }{
				{"carillon call ", "$(touch${IFS}pwned)@x", "me@example.org"},
				{"carillon --who ", "me@example.org", "bob@example.org"},
			} {
				cmd := exec.Command(path, args(b.String(), strings.Split(tt.words, " ")...)...)
				cmd.Dir = t.TempDir()
				cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+cmd.Dir)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%s: %v\n%s", shell, err, out)
				}
				// fish says after a tab what it is.
				plain := strings.ReplaceAll(string(out), "\tAs whom.", "")
				if got := strings.Split(plain, "\n"); !slices.Contains(got, tt.want) || slices.Contains(got, tt.not) {
					t.Errorf("%q is completed by %q, want %q and not %q", tt.words, got, tt.want, tt.not)
				}
				if _, err := os.Stat(filepath.Join(cmd.Dir, "pwned")); err == nil {
					t.Errorf("%q: a name was run", tt.words)
				}
			}
		})
	}
}

// A program with a dash in its name, and without people.
func TestAnotherProgram(t *testing.T) {
	var tree struct {
		Run struct {
			Config string `placeholder:"FILE" help:"Configuration."`
		} `cmd:"" help:"Serve."`
	}
	k, err := kong.New(&tree, kong.Name("carillon-turn"), kong.Description("A relay."), kong.NoDefaultHelp())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ManPages(k.Model, "1") {
		if p.Name == "carillon-turn-run.1" && !strings.Contains(string(p.Text), "\\fBcarillon\\-turn run\\fR") {
			t.Errorf("%s:\n%s", p.Name, p.Text)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var b bytes.Buffer
		if err := Completion(&b, k.Model, shell); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "carillon-turn") || strings.Contains(b.String(), "history") {
			t.Errorf("%s:\n%s", shell, &b)
		}
	}
}
