package capture

import (
	"fmt"
	"sync"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// The extensions of X11 that are used here.
const (
	extComposite = "Composite"
	extFixes     = "XFIXES"
	extMemory    = "MIT-SHM"
	extOutputs   = "RANDR"
	extScreens   = "XINERAMA"
	extShape     = "SHAPE"
)

// numbers are what xgb calls the errors and events of extensions by. It keeps
// them for all connections at once, and its Init functions write them without a
// lock while others read: a screen that is opened in the moment in which another
// connection hears of an event ends the program. So they are written here, where
// there is no connection yet, and not again: a program has one display.
var numbers struct {
	mu    sync.Mutex // held while a connection is made
	known map[extension]bool
}

// An extension is one with the numbers that a server gave it.
type extension struct {
	name         string
	event, error byte
}

// connect connects to the display, with all extensions that it has.
func connect() (*xgb.Conn, error) {
	numbers.mu.Lock()
	defer numbers.mu.Unlock()
	for {
		conn, err := xgb.NewConn()
		if err != nil {
			return nil, err
		}
		news, err := extend(conn)
		if err == nil && news == nil {
			return conn, nil
		}
		conn.Close()
		for { // it may read until it is gone
			if e, xerr := conn.WaitForEvent(); e == nil && xerr == nil {
				break
			}
		}
		if err != nil {
			return nil, err
		}
		if numbers.known == nil {
			numbers.known = make(map[extension]bool)
		}
		for _, x := range news {
			for n, read := range xgb.NewExtEventFuncs[x.name] {
				xgb.NewEventFuncs[int(x.event)+n] = read
			}
			for n, read := range xgb.NewExtErrorFuncs[x.name] {
				xgb.NewErrorFuncs[int(x.error)+n] = read
			}
			numbers.known[x] = true
		}
	}
}

// extend makes extensions usable in a connection, and returns those whose
// numbers are new.
func extend(conn *xgb.Conn) (news []extension, err error) {
	names := [...]string{extComposite, extFixes, extMemory, extOutputs, extScreens, extShape}
	var asked [len(names)]xproto.QueryExtensionCookie
	for i, name := range names {
		asked[i] = xproto.QueryExtension(conn, uint16(len(name)), name)
	}
	for i, name := range names {
		r, err := asked[i].Reply()
		if err != nil {
			return nil, fmt.Errorf("ask for the extension %s: %w", name, err)
		}
		if !r.Present {
			continue
		}
		conn.ExtLock.Lock()
		conn.Extensions[name] = r.MajorOpcode
		conn.ExtLock.Unlock()
		if x := (extension{name, r.FirstEvent, r.FirstError}); !numbers.known[x] {
			news = append(news, x)
		}
	}
	return news, nil
}

// has reports whether the display has an extension.
func (d *display) has(name string) bool {
	d.conn.ExtLock.RLock()
	defer d.conn.ExtLock.RUnlock()
	_, ok := d.conn.Extensions[name]
	return ok
}
