package filetransfer

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ptr(n int64) *int64 { return &n }

func TestDescription(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string // as it arrives
		want File
		out  string // as we write it; empty when as it arrived
	}{
		{
			name: "Dino 0.4.2 offers a file",
			in:   `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>small.bin</name><size>20000</size></file></description>`,
			want: File{Name: "small.bin", Size: ptr(20000)},
			out:  `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>small.bin</name><size>20000</size></file></description>`,
		},
		{
			name: "Gajim 1.7.3 writes a date that is none",
			in: `<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>file.bin</name><date>2026-11-27T10:56:14.649277+00:00Z</date><size>1000</size>` +
				`<hash algo='blake2b-512' xmlns='urn:xmpp:hashes:2'>AQID</hash><desc/></file></description>`,
			want: File{Name: "file.bin", Size: ptr(1000), Hashes: []Hash{{"blake2b-512", []byte{1, 2, 3}}}},
			out:  `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>file.bin</name><size>1000</size><hash xmlns="urn:xmpp:hashes:2" algo="blake2b-512">AQID</hash></file></description>`,
		},
		{
			name: "everything there is",
			in: `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><date>2015-07-26T21:46:00Z</date><media-type>text/plain</media-type>` +
				`<name>test.txt</name><desc>a text</desc><size>6144</size><range offset="1024" length="2048"><hash xmlns="urn:xmpp:hashes:2" algo="sha-1">AQID</hash></range>` +
				`<hash xmlns="urn:xmpp:hashes:2" algo="sha-256">w0mc AQ==</hash><hash-used xmlns="urn:xmpp:hashes:2" algo="blake2b-256"></hash-used></file></description>`,
			want: File{
				Name: "test.txt", Size: ptr(6144), MediaType: "text/plain", Desc: "a text", Date: time.Date(2015, 7, 26, 21, 46, 0, 0, time.UTC),
				Range:  &Range{Offset: 1024, Length: ptr(2048), Hashes: []Hash{{"sha-1", []byte{1, 2, 3}}}},
				Hashes: []Hash{{"sha-256", []byte{0xc3, 0x49, 0x9c, 0x01}}}, HashUsed: []string{"blake2b-256"},
			},
			out: `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><date>2015-07-26T21:46:00Z</date><media-type>text/plain</media-type><mediaType>text/plain</mediaType>` +
				`<name>test.txt</name><desc>a text</desc><size>6144</size><range offset="1024" length="2048"><hash xmlns="urn:xmpp:hashes:2" algo="sha-1">AQID</hash></range>` +
				`<hash xmlns="urn:xmpp:hashes:2" algo="sha-256">w0mcAQ==</hash><hash-used xmlns="urn:xmpp:hashes:2" algo="blake2b-256"></hash-used></file></description>`,
		},
		{
			name: "Conversations names the media type its own way",
			in:   `<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>a.jpg</name><size>1</size><mediaType>image/jpeg</mediaType></file></description>`,
			want: File{Name: "a.jpg", Size: ptr(1), MediaType: "image/jpeg"},
			out:  `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><media-type>image/jpeg</media-type><mediaType>image/jpeg</mediaType><name>a.jpg</name><size>1</size></file></description>`,
		},
		{
			name: "with a thumbnail",
			in: `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>a.jpg</name>` +
				`<thumbnail xmlns="urn:xmpp:thumbs:1" uri="data:image/png;base64,AQID" media-type="image/png" width="128" height="96"></thumbnail></file></description>`,
			want: File{Name: "a.jpg", Thumbnail: &Thumbnail{MediaType: "image/png", Width: 128, Height: 96, Data: []byte{1, 2, 3}}},
			out: `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>a.jpg</name>` +
				`<thumbnail xmlns="urn:xmpp:thumbs:1" uri="data:image/png;base64,AQID" media-type="image/png" width="128" height="96"></thumbnail></file></description>`,
		},
		{
			name: "thumbnails that are elsewhere, and sizes that are none",
			in: `<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>a.jpg</name><thumbnail xmlns='urn:xmpp:thumbs:1' uri='https://example.org/a.png'/>` +
				`<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:sha1+ff@bob.xmpp.org' width='3'/><thumbnail xmlns='urn:xmpp:thumbs:1' uri='data:image/png;base64,!!'/>` +
				`<thumbnail xmlns='urn:xmpp:thumbs:1' uri='data:image/png;base64,AQID' width='-3' height='99999999999999999999'/></file></description>`,
			want: File{Name: "a.jpg", Thumbnail: &Thumbnail{MediaType: "image/png", Data: []byte{1, 2, 3}}},
			out: `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>a.jpg</name>` +
				`<thumbnail xmlns="urn:xmpp:thumbs:1" uri="data:image/png;base64,AQID" media-type="image/png"></thumbnail></file></description>`,
		},
		{
			name: "a thumbnail that is too large",
			in: `<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>a.jpg</name><thumbnail xmlns='urn:xmpp:thumbs:1' uri='data:image/png;base64,` +
				strings.Repeat("AAAA", MaxThumbnail/3+1) + `'/></file></description>`,
			want: File{Name: "a.jpg"},
			out:  `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>a.jpg</name></file></description>`,
		},
		{
			name: "an empty file has a size",
			in:   `<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>e</name><size>0</size><range/></file></description>`,
			want: File{Name: "e", Size: ptr(0), Range: &Range{}},
			out:  `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>e</name><size>0</size><range></range></file></description>`,
		},
		{
			name: "what cannot be read is left out",
			in: `<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>e</name><size>-5</size><date>yesterday</date><range offset='x' length='99999999999999999999'/>` +
				`<hash xmlns='urn:xmpp:hashes:2' algo='sha-1'>!!</hash></file></description>`,
			want: File{Name: "e", Range: &Range{}},
			out:  `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><name>e</name><range></range></file></description>`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d Description
			if err := xml.Unmarshal([]byte(tt.in), &d); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(d.File, tt.want); diff != "" {
				t.Errorf("decoded (-got +want):\n%s", diff)
			}
			out, err := xml.Marshal(&d)
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != tt.out {
				t.Errorf("encoded\n%s\nwant\n%s", out, tt.out)
			}
		})
	}
}

func TestChecksumAndReceived(t *testing.T) {
	const checksum = `<checksum xmlns="urn:xmpp:jingle:apps:file-transfer:5" creator="initiator" name="0"><file><hash xmlns="urn:xmpp:hashes:2" algo="sha-256">AQ==</hash></file></checksum>`
	const received = `<received xmlns="urn:xmpp:jingle:apps:file-transfer:5" creator="initiator" name="0"></received>`
	for _, tt := range []struct {
		xml  string
		want *Info
	}{
		{checksum, NewChecksum("0", Hash{"sha-256", []byte{1}})},
		{received, NewReceived("0")},
	} {
		var got Info
		if err := xml.Unmarshal([]byte(tt.xml), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&got, tt.want); diff != "" {
			t.Errorf("decoded (-got +want):\n%s", diff)
		}
		if out, err := xml.Marshal(&got); err != nil || string(out) != tt.xml {
			t.Errorf("encoded %s, %v", out, err)
		}
	}
}

func FuzzDescription(f *testing.F) {
	f.Add(`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>a</name><size>1</size><range offset='3'/><date>2015-07-26</date></file></description>`)
	f.Fuzz(func(t *testing.T, in string) {
		var d, again Description
		if xml.Unmarshal([]byte(in), &d) != nil {
			return
		}
		out, err := xml.Marshal(&d)
		if err != nil {
			return // a name with characters that XML cannot carry
		}
		if err := xml.NewDecoder(strings.NewReader(string(out))).Decode(&again); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		again.XMLName, d.XMLName = xml.Name{}, xml.Name{}
		if d.File.Date.Nanosecond() == 0 && d.File.Date.Year() > 0 && d.File.Date.Year() < 9999 {
			d.File.Date, again.File.Date = d.File.Date.UTC(), again.File.Date.UTC()
			if diff := cmp.Diff(d.File, again.File); diff != "" {
				t.Fatalf("%s", diff)
			}
		}
	})
}
