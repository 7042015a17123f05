//go:build guest && linux

package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/carillon-im/carillon/internal/lab"
)

func TestMain(m *testing.M) { lab.GuestMain(m) }

// Cameras are listed as people and programs see them, on a machine that has
// neither sound nor a desktop.
func TestGuestDevices(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"devices"}, []string{"* camera      vivid  (camera:/dev/video0)", "  camera      vivid  (camera:/dev/video1)"}},
		{[]string{"devices", "--json"}, []string{`"id":"/dev/video0","name":"vivid","kind":"camera","default":true`, `"id":"/dev/video1","name":"vivid","kind":"camera","default":false`}},
	} {
		var out, trouble bytes.Buffer
		code := Main(t.Context(), Env{Args: test.args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &trouble, Getenv: func(string) string { return "" }, Exit: func(int) {}})
		t.Logf("%q ends with %d\n%s%s", test.args, code, &out, &trouble)
		for _, w := range test.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%q does not say %q", test.args, w)
			}
		}
	}
}
