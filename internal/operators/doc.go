// Package operators tests what an operator does: our relay beside real XMPP
// servers, whose credentials calls and files use. There is no code in it.
package operators
