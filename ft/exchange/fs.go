package exchange

import (
	"io/fs"
	"os"
)

// renameChecked renames when nothing has the new name. A name taken between
// the look and the rename is the one race left; systems with a better call use it.
func renameChecked(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}
