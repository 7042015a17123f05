package jingle

// A Condition is the machine-readable part of a reason. XEP-0166#def-reason
type Condition string

// The conditions of XEP-0166#def-reason.
const (
	AlternativeSession      Condition = "alternative-session"
	Busy                    Condition = "busy"
	Cancel                  Condition = "cancel"
	ConnectivityError       Condition = "connectivity-error"
	Decline                 Condition = "decline"
	Expired                 Condition = "expired"
	FailedApplication       Condition = "failed-application"
	FailedTransport         Condition = "failed-transport"
	GeneralError            Condition = "general-error"
	Gone                    Condition = "gone"
	IncompatibleParameters  Condition = "incompatible-parameters"
	MediaError              Condition = "media-error"
	SecurityError           Condition = "security-error"
	Success                 Condition = "success"
	Timeout                 Condition = "timeout"
	UnsupportedApplications Condition = "unsupported-applications"
	UnsupportedTransports   Condition = "unsupported-transports"
)

// A Reason says why a session or content ended. It is read leniently: by local
// name in any namespace, with "-" or "_"; what is unknown reads as GeneralError.
type Reason struct {
	Condition Condition
	SID       string // alternative-session only
	Text      string // for people, never parsed
}
