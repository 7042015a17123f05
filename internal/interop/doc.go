// Package interop holds tests of the program against real servers and real
// clients, started by package lab.
//
// With the tag integration: calls between two of us through Prosody, over every
// transport and over a network that breaks. With the tag interop: calls with
// Dino, and the app as screen readers know it.
package interop
