package jingle

// A permission says what may happen to an action in some state.
type permission uint8

const (
	never permission = iota
	heard            // taken from a peer, but we do not send it ourselves
	free             // sent and taken
)

// actions lists every action.
var actions = [...]Action{
	ActionContentAccept, ActionContentAdd, ActionContentModify,
	ActionContentReject, ActionContentRemove, ActionDescriptionInfo,
	ActionSecurityInfo, ActionSessionAccept, ActionSessionInfo,
	ActionSessionInitiate, ActionSessionTerminate, ActionTransportAccept,
	ActionTransportInfo, ActionTransportReject, ActionTransportReplace,
}

// Known reports whether a is one of the actions of XEP-0166#def-action.
func (a Action) Known() bool {
	for _, b := range actions {
		if a == b {
			return true
		}
	}
	return false
}

// allowed answers, for every state, sender and action, what may happen. Whether
// the contents concerned fit is checked later. XEP-0166#def-action
func allowed(state State, sender Role, a Action) permission {
	switch state {
	case StateCreated:
		if a == ActionSessionInitiate && sender == Initiator {
			return free
		}
	case StatePending:
		switch a {
		case ActionContentAdd, ActionContentModify:
			// interop Dino 0.4: a responder without camera sends content-modify
			// before session-accept. Conversations ends the call at either.
			return heard
		case ActionSecurityInfo:
			return heard
		case ActionSessionAccept:
			if sender == Responder {
				return free
			}
		case ActionContentAccept, ActionContentReject, ActionContentRemove,
			ActionDescriptionInfo, ActionSessionInfo, ActionSessionTerminate,
			ActionTransportAccept, ActionTransportInfo, ActionTransportReject,
			ActionTransportReplace:
			return free
		}
	case StateActive:
		switch a {
		case ActionSecurityInfo:
			return heard
		case ActionSessionAccept:
			// interop Movim 2026-08: answers content actions by session-accept.
			return heard
		case ActionContentAccept, ActionContentAdd, ActionContentModify,
			ActionContentReject, ActionContentRemove, ActionDescriptionInfo,
			ActionSessionInfo, ActionSessionTerminate, ActionTransportAccept,
			ActionTransportInfo, ActionTransportReject, ActionTransportReplace:
			return free
		}
	case StateEnded:
		// Both sides may hang up at once; that is no error.
		if a == ActionSessionTerminate {
			return heard
		}
	}
	return never
}
