package events

// Of transfers of files. What was accepted comes as [Accepted], what failed in
// the end as [Failed].
type (
	// Offered says that files are offered, by us or to us.
	Offered struct {
		Call
		Incoming bool     `json:"incoming"`
		Names    []string `json:"names"` // of the files and folders at the top; at most 32
		Files    int      `json:"files"`
		Folders  int      `json:"folders"`
		Bytes    int64    `json:"bytes"` // -1 when the sender does not say
		Contact  bool     `json:"contact"`
		Resumed  bool     `json:"resumed,omitempty"` // part of it has come before
	}

	// Transport says how the bytes travel.
	Transport struct {
		Call
		Kind    string `json:"kind"`             // tcp, quic, datachannel, s5b or ibb
		Local   string `json:"local,omitempty"`  // type of our candidate
		Remote  string `json:"remote,omitempty"` // type of theirs
		Relayed bool   `json:"relayed"`
	}

	// Progress says how far a transfer is.
	Progress struct {
		Call
		Bytes int64 `json:"bytes"`
		Total int64 `json:"total"`

		File      string `json:"-"`
		FileBytes int64  `json:"-"`
		FileSize  int64  `json:"-"`
		Kept      int64  `json:"-"`
	}

	// Sent says that a transfer is done; of files received, where they are.
	Sent struct {
		Call
		Incoming  bool     `json:"incoming"`
		Bytes     int64    `json:"bytes"`
		Seconds   float64  `json:"seconds"` // since it was accepted
		Transport string   `json:"transport"`
		SHA256    string   `json:"sha256,omitempty"` // of a single file
		Verified  bool     `json:"verified"`
		Resent    int64    `json:"resent"` // bytes that came again although they had come before
		Kept      int64    `json:"kept"`   // bytes that were there already
		Wire      int64    `json:"wire"`   // bytes that crossed the network
		Files     int      `json:"files"`
		Failed    []string `json:"failed,omitempty"` // files that were not transferred
		Paths     []string `json:"paths,omitempty"`  // where what was received is now
	}

	// Failed says that a transfer failed while the program goes on.
	Failed struct {
		Call
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
	}

	// Waiting says that nobody is there to receive yet.
	Waiting struct {
		Peer string
		Why  string
	}
	// Switching says that one way to carry the bytes did not work.
	Switching struct {
		Call
		Kind string
		Err  error
	}
	// Retrying says that a transfer was lost and is begun again.
	Retrying struct {
		Call
		Err error
	}
)

func (Offered) name() string   { return "offered" }
func (Transport) name() string { return "transport" }
func (Progress) name() string  { return "progress" }
func (Sent) name() string      { return "done" }
func (Failed) name() string    { return "error" }
func (Waiting) name() string   { return "" }
func (Switching) name() string { return "" }
func (Retrying) name() string  { return "" }
