package ft

import (
	"slices"
	"strings"

	"github.com/carillon-im/carillon/ft/exchange"
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
		missing := func(f string) bool { return !slices.Contains(features, f) }
		if !slices.ContainsFunc(Features(c), missing) {
			usable = append(usable, c)
		}
	}
	return usable, ours
}

// Features returns what a device that has these carriers advertises
// (XEP-0030): the namespace of each, or what its method Features says.
func Features(carriers ...Carrier) (list []string) {
	for _, c := range carriers {
		more := []string{c.Namespace()}
		if f, ok := c.(interface{ Features() []string }); ok {
			more = f.Features()
		}
		for _, f := range more {
			if !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
	}
	return list
}

// HashFeatures returns what a device advertises that compares files of other
// clients with a hash: which functions it knows. XEP-0300#disco
//
// interop Gajim 1.7.3: tells no hash to who does not advertise one.
func HashFeatures() []string {
	list := []string{filetransfer.NSHashes}
	for _, algo := range exchange.Algorithms() {
		// Named as in the IANA registry of textual names, which has "id-blake2b256".
		if n, ok := strings.CutPrefix(algo, "blake2b-"); ok {
			algo = "id-blake2b" + n
		}
		list = append(list, "urn:xmpp:hash-function-text-names:"+algo)
	}
	return list
}
