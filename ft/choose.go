package ft

import (
	"slices"

	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// Choose returns those of the carriers that a device with these features has
// too, in the same order, and whether it speaks NS: then NewSender is for it,
// else NewPlainSender. Nothing is returned for a device that takes no files.
// Features are those of XEP-0030.
func Choose(features []string, carriers ...Carrier) (usable []Carrier, ours bool) {
	ours = slices.Contains(features, NS)
	if !ours && !slices.Contains(features, filetransfer.NS) {
		return nil, false
	}
	for _, c := range carriers {
		if slices.Contains(features, c.Namespace()) {
			usable = append(usable, c)
		}
	}
	return usable, ours
}
