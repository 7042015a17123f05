package jingle_test

import (
	"os"
	"testing"

	"github.com/carillon-im/carillon/jingle/jingletest"
)

func TestTranscripts(t *testing.T) {
	jingletest.Run(t, os.DirFS("testdata/transcripts"), "*.txt")
}
