package access

import (
	"strings"

	"github.com/godbus/dbus/v5"
)

// firstNote is the ID of the first note. Nodes of windows do not come so far.
const firstNote = ID(1 << 31)

// maxNotes bounds the notes that can be asked for; the oldest goes.
const maxNotes = 8

// isAnnouncement reports whether an event that somebody waits for is one that
// says something. The registry writes it in more than one way.
func isAnnouncement(event string) bool {
	return strings.HasPrefix(strings.ToLower(strings.ReplaceAll(event, "-", "")), announcements)
}

// say says something that is no part of the window.
func (l *listener) say(x said, window *flat, heard bool) {
	if heard {
		level := int32(1) // polite
		if x.urgent {
			level = 2
		}
		l.signal(l.path(window.ID), "Event.Object.Announcement", "", level, 0, dbus.MakeVariant(x.text))
		return
	}
	// interop Orca 43: it knows no announcements. What it says at once is the name
	// of a notification that begins to show.
	l.mu.Lock()
	if l.note++; l.note < firstNote {
		l.note = firstNote
	}
	n := &flat{Node: &Node{ID: l.note, Role: Notice, Name: x.text, State: Showing | Enabled, Bounds: window.Bounds}, parent: window}
	l.notes = append(l.notes, n)
	l.notes = l.notes[max(0, len(l.notes)-maxNotes):]
	l.mu.Unlock()
	l.emit(event{of: n.ID, what: "StateChanged", detail: "showing", a: 1})
}

// noted returns a note, or nil.
func (l *listener) noted(id ID) *flat {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.notes {
		if n.ID == id {
			return n
		}
	}
	return nil
}
