package safename

import (
	"errors"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "report.pdf", "report.pdf"},
		{"spaces and umlauts stay", "Grüße an Zoë 2.txt", "Grüße an Zoë 2.txt"},
		{"dot file stays", ".bashrc", ".bashrc"},
		{"emoji with joiner stays", "👩‍👧.png", "👩‍👧.png"},
		{"folders are cut off", "../../etc/passwd", "passwd"},
		{"backslashes are folders too", `C:\Users\x\a.txt`, "a.txt"},
		{"parent folder", "..", "file"},
		{"this folder", ".", "file"},
		{"empty", "", "file"},
		{"only a slash", "/", "file"},
		{"control characters", "a\x00b\nc\x1b[2J.txt", "abc[2J.txt"},
		{"right-to-left override", "photo\u202egpj.exe", "photogpj.exe"},
		{"isolates and marks", "a\u2066b\u2069\u200fc", "abc"},
		{"not UTF-8", "a\xffb", "a_b"},
		{"device name", "CON", "_CON"},
		{"device name with extension", "nul.txt", "_nul.txt"},
		{"looks like a device", "console.log", "console.log"},
		{"serial port", "com1.log", "_com1.log"},
		{"trailing dots and spaces", "name. . ", "name"},
		{"journal of a transfer", "a.pdf.part.journal", "a.pdf.part_journal"},
		{"journal in capitals", "a.PART.Journal", "a.PART_journal"},
		{"journal after cutting", strings.Repeat("a", 187) + ".part" + strings.Repeat("b", 50) + ".journal", strings.Repeat("a", 187) + ".part_journal"},
		{"no characters", "a\uffffb\ufffec", "abc"},
		{"wildcards", `a*b?c"d<e>f|g:h`, "a_b_c_d_e_f_g_h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Name(tt.in); got != tt.want {
				t.Errorf("Name(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
	long := Name(strings.Repeat("ü", 300) + ".tar")
	if len(long) > MaxName || !utf8.ValidString(long) || path.Ext(long) != ".tar" {
		t.Errorf("a long name became %q", long)
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{".bashrc": "_.bashrc", ".ssh": "_.ssh", "...": "_...", "a.b": "a.b", "_x": "_x"} {
		if got := Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPath(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
	}{
		{"nested", "a/b/c.txt", "a/b/c.txt"},
		{"unsafe part", "a/CON/b\u202ec", "a/_CON/bc"},
		{"absolute", "/etc/passwd", ""},
		{"parent inside", "a/../../b", ""},
		{"parent first", "../b", ""},
		{"not clean", "a//b", ""},
		{"dot", "./a", ""},
		{"backslash", `a\..\b`, ""},
		{"empty", "", ""},
		{"too deep", strings.Repeat("a/", MaxDepth) + "b", ""},
		{"too long", strings.Repeat("a", MaxPath+1), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Path(tt.in)
			if tt.want == "" {
				if !errors.Is(err, ErrPath) {
					t.Errorf("Path(%q) = %q, %v; want ErrPath", tt.in, got, err)
				}
				return
			}
			if got != tt.want || err != nil {
				t.Errorf("Path(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"a", "..", "CON.txt", "a\u202eb", "\xff", "com1 .x", "/", ". ", "x:y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := Name(in)
		if got == "" || got == "." || got == ".." || len(got) > MaxName || !utf8.ValidString(got) ||
			strings.ContainsAny(got, "/\\\x00") || strings.ContainsFunc(got, unicode.IsControl) || strings.ContainsRune(got, '\u202e') {
			t.Errorf("Name(%q) = %q", in, got)
		}
		if again := Name(got); again != got {
			t.Errorf("Name is not stable: %q, then %q", got, again)
		}
		if p, err := Path(in); err == nil && (path.IsAbs(p) || strings.Contains(p, "..") && path.Clean(p) != p) {
			t.Errorf("Path(%q) = %q", in, p)
		}
	})
}
