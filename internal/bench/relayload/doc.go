// Package relayload loads a TURN relay: allocations, each with a channel to a
// peer of its own, and packets both ways. It knows nothing of any relay's code,
// and as little of Go's network poller as can be, so that it costs little beside
// the relay that is measured.
package relayload
