package jingletest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// citation is how sources cite a section: the number and the anchor that survives
// renumbering.
var citation = regexp.MustCompile(`XEP-(\d{4})#([A-Za-z0-9_.-]*[A-Za-z0-9])`)

// Citations checks that the anchor of every citation, such as
// "XEP-0166#def-action", in the Go files and transcripts of fsys is in the list:
// lines of a specification and its anchors, in any order; "#" begins a comment.
func Citations(t testing.TB, fsys fs.FS, list string) {
	t.Helper()
	found, err := citations(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Error("no citations at all")
	}
	for _, problem := range wrong(found, list) {
		t.Error(problem)
	}
}

// A cited is a place and what it cites.
type cited struct{ place, xep, anchor string }

// wrong returns a line for each citation that is not in the list.
func wrong(found []cited, list string) []string {
	anchors := make(map[string][]string)
	for _, line := range strings.Split(list, "\n") {
		if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(line, "#") {
			anchors[f[0]] = f[1:]
		}
	}
	var out []string
	for _, c := range found {
		known, ok := anchors[c.xep]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s: %s is not in the list of anchors", c.place, c.xep))
		case !slices.Contains(known, c.anchor):
			out = append(out, fmt.Sprintf("%s: %s has no anchor %q", c.place, c.xep, c.anchor))
		}
	}
	return out
}

func citations(fsys fs.FS) ([]cited, error) {
	var found []cited
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if name != "." && strings.HasPrefix(e.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if ext := path.Ext(name); ext != ".go" && !(ext == ".txt" && strings.Contains(name, "transcripts/")) {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(data), "\n") {
			for _, m := range citation.FindAllStringSubmatch(line, -1) {
				found = append(found, cited{fmt.Sprintf("%s:%d", name, i+1), "XEP-" + m[1], m[2]})
			}
		}
		return nil
	})
	return found, err
}
