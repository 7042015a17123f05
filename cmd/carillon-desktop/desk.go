//go:build native

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/app"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/storage"
	"github.com/go-gl/glfw/v3.4/glfw"

	"github.com/carillon-im/carillon/desktop/autostart"
	"github.com/carillon-im/carillon/desktop/bridge"
	"github.com/carillon-im/carillon/desktop/link"
	"github.com/carillon-im/carillon/desktop/notify"
	"github.com/carillon-im/carillon/desktop/single"
	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/desktop/ui"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/authorities"
	"github.com/carillon-im/carillon/internal/config"
)

const appID = "im.carillon.Carillon"

// settleTime is how long after the start memory is given back.
const settleTime = 3 * time.Second

//go:embed icon.svg
var iconSVG []byte

// A desk is the window and what surrounds it.
type desk struct {
	o      options
	log    *slog.Logger
	app    fyne.App
	window fyne.Window
	view   *ui.View
	bridge *bridge.Bridge
	begin  time.Time
	dozer  *dozer
	film   *film
	voice  *voice // nil before the window was shown

	mu       sync.Mutex
	notifier *notify.Notifier // nil before it was needed, or where there is none
	dialed   time.Time        // when the notifier was looked for last
	dark     fyne.ThemeVariant
	theme    string
	language string // of the view
	scale    string // that was asked for when the app was started
	paths    config.Paths
	file     config.File
	store    *accounts.Store
	shown    chan struct{} // closed when the window can be used
	left     chan struct{} // closed when the toolkit has ended
	ends     sync.Once
	bell     *bell
	asks     *dialog.FileDialog     // that is open; of the UI thread
	last     string                 // folder of what was chosen last; of the UI thread
	front    bool                   // the user works in the window; of the UI thread
	leaves   bool                   // the window was closed in a call, and the app goes after it; likewise
	told     bool                   // that it runs without the window; likewise
	fits     bool                   // the window was made to fit the screen; likewise
	size     sizing                 // likewise
	reminder atomic.Pointer[func()] // takes away what remind says
	starts   atomic.Bool            // the session is to start the app
}

func newDesk(o options, paths config.Paths, file config.File, store *accounts.Store, log *slog.Logger) *desk {
	d := &desk{o: o, log: log, paths: paths, file: file, store: store, begin: time.Now(), shown: make(chan struct{}), left: make(chan struct{}), bell: newBell(log)}
	d.dozer = newDozer(d.moves)
	d.film = &film{log: log}
	return d
}

// run shows the window and returns when the user quits.
func (d *desk) run(instance *single.Instance, args []string) error {
	if err := ui.LoadTranslations(); err != nil {
		return err
	}
	icon := fyne.NewStaticResource("carillon.svg", iconSVG)
	app.SetMetadata(fyne.AppMetadata{ID: appID, Name: "Carillon", Icon: icon, Release: true, Migrations: map[string]bool{"fyneDo": true}})
	if cache, err := os.UserCacheDir(); err == nil {
		os.MkdirAll(cache, 0o700) // Fyne wants it to be there
	}
	d.app = app.NewWithID(appID)
	d.app.SetIcon(icon)
	if err := glfw.Init(); err != nil { // Fyne has done it, unless there is no display, and goes on without
		return fmt.Errorf("find a display: %w", err)
	}
	cfg := bridge.Config{
		Store: d.store, Paths: d.paths, File: d.file, Account: d.o.account,
		Mic: first(d.o.mic, d.file.Mic), Speaker: first(d.o.speaker, d.file.Speaker), Camera: d.o.camera, Loopback: d.o.loopback,
		OnUI: d.dozer.do, Version: version(), Log: d.log,
		Desktop: bridge.Desktop{
			Raise: d.raise, Choose: d.choose, Open: d.open, Restyle: d.restyle, Notify: d.notify, Ring: d.bell.ring,
			Film: d.film.show, Quit: d.quit, Settle: d.settle,
		},
	}
	if d.file.CAFile != "" {
		pool, err := authorities.Read(d.file.CAFile)
		if err != nil {
			return err
		}
		cfg.RootCAs = pool
	}
	var err error
	if d.bridge, err = bridge.New(cfg); err != nil {
		return err
	}
	defer d.bell.close() // after everything that may ring
	defer d.film.close()
	defer d.bridge.Close()
	d.scale = os.Getenv("FYNE_SCALE")
	d.style(d.bridge.State().Settings)
	d.speak(d.bridge.State().Settings.Language)

	d.window = d.app.NewWindow("Carillon")
	d.window.SetPadded(false)
	d.size = sizing{wanted: windowSize, asked: windowSize}
	d.window.Resize(windowSize)
	d.view = ui.New(d.bridge.Do, time.Now)
	d.view.FullScreen = d.window.SetFullScreen
	d.view.CloseDialog = func() {
		if d.asks != nil {
			d.asks.Dismiss()
		}
	}
	d.film.window = d.window
	d.view.Pane = d.film
	d.fill()
	d.window.SetOnDropped(func(at fyne.Position, list []fyne.URI) {
		var paths []string
		for _, u := range list {
			if u.Scheme() == "file" {
				paths = append(paths, u.Path())
			}
		}
		d.view.Dropped(at, paths)
	})
	d.window.SetCloseIntercept(d.close)
	d.window.SetMaster()
	d.tray()
	d.dark = d.app.Settings().ThemeVariant()
	d.app.Settings().AddListener(func(s fyne.Settings) { d.restyled(s) })
	attend := func(front bool) {
		d.front = front
		if d.voice != nil {
			d.voice.touched()
		}
	}
	d.app.Lifecycle().SetOnEnteredForeground(func() { attend(true) })
	d.app.Lifecycle().SetOnExitedForeground(func() { attend(false) })
	d.app.Lifecycle().SetOnStarted(func() {
		d.log.Info("window is there", "after", time.Since(d.begin))
		if !d.o.hidden {
			d.fitScreen()
		}
		// Making a window leaves much behind that is not needed again.
		time.AfterFunc(settleTime, giveBack)
		d.dozer.start()
		d.voice = newVoice(d)
		close(d.shown)
	})
	stop := d.serve(instance)
	defer stop()
	d.obey(args)
	if path := os.Getenv(controlEnv); path != "" {
		end, err := control(d, path)
		if err != nil {
			return err
		}
		defer end()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM) // at which the toolkit ends, too
	go func() {
		<-signals
		d.watchEnd()
	}()
	if d.o.hidden {
		d.app.Run()
	} else {
		d.window.ShowAndRun()
	}
	close(d.left)
	if d.voice != nil {
		d.voice.server.Close()
	}
	d.mu.Lock()
	n := d.notifier
	d.mu.Unlock()
	if n != nil {
		n.Close()
	}
	return nil
}

// moves says whether something in the window moves by itself: the cursor of a
// field, what spins, the clock of a call.
func (d *desk) moves() bool {
	a := d.bridge.State()
	return len(a.Calls) > 0 && !d.film.on() || a.SignIn.Busy || a.Doctor.Running || d.front && d.view.Writes()
}

// fill puts the view into the window.
func (d *desk) fill() {
	d.window.SetContent(d.view.Root)
	d.view.Bind(d.window.Canvas())
	d.bridge.Show(d.view)
}

// restyled makes the view anew when light became dark, or the language another:
// colours and words are chosen when things are made.
func (d *desk) restyled(s fyne.Settings) {
	want := d.bridge.State().Settings
	if s.ThemeVariant() == d.dark && want.Theme == d.theme && want.Language == d.language {
		return
	}
	if want.Language != d.language {
		d.speak(want.Language)
		d.tray()
	}
	d.dark, d.theme = s.ThemeVariant(), want.Theme
	d.view = d.view.Rebuild()
	d.fill()
}

// speak chooses the language of the view that is made next.
func (d *desk) speak(language string) {
	d.language = language
	if err := ui.Speak(language); err != nil {
		d.log.Warn("choose a language", "language", language, "err", err)
	}
}

// style applies theme and scale.
func (d *desk) style(s state.Settings) {
	if s.Scale > 0 {
		os.Setenv("FYNE_SCALE", fmt.Sprint(s.Scale)) // Fyne reads it whenever it draws anew
	} else if d.scale != "" {
		os.Setenv("FYNE_SCALE", d.scale)
	} else {
		os.Unsetenv("FYNE_SCALE")
	}
	if d.window == nil {
		d.theme = s.Theme
	}
	d.app.Settings().SetTheme(ui.NewTheme(s.Theme))
}

func (d *desk) restyle(s state.Settings) {
	before, size := os.Getenv("FYNE_SCALE"), d.window.Canvas().Size()
	d.style(s)
	if os.Getenv("FYNE_SCALE") != before {
		if !d.window.FullScreen() {
			d.size.is(size)
		}
		d.fits = false
		d.fitScreen()
	}
	d.starts.Store(s.Autostart)
	go d.registerStart() // a file is read and written
}

// registerStart makes the session start the app, or not, as was chosen last.
func (d *desk) registerStart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	want := d.starts.Load()
	on, err := autostart.Enabled()
	if err != nil || on == want {
		return
	}
	if want {
		var program string
		if program, err = os.Executable(); err == nil {
			err = autostart.Enable(program, "--hidden")
		}
	} else {
		err = autostart.Disable()
	}
	if err != nil {
		d.log.Warn("autostart", "err", err)
	}
}

// close is what the button of the window does: nothing is hung up by it.
func (d *desk) close() {
	a := d.bridge.State()
	if call, calling := a.Front(); calling || a.Settings.HideOnly {
		d.window.Hide()
		d.view.Hidden()
		d.leaves = !a.Settings.HideOnly
		switch {
		case calling:
			d.remind(call)
		case !d.told:
			d.told = true
			go d.remindOfRunning()
		}
		return
	}
	d.quit()
}

// quit ends the app.
func (d *desk) quit() {
	d.watchEnd()
	d.app.Quit()
}

// endTime is how long the toolkit may take to end.
const endTime = 3 * time.Second

// watchEnd ends the program where the toolkit does not. As its loop ends it waits
// for a function that it may just have left in its queue (Fyne 2.8: runGL empties
// that before runOnMainWithWait learns of it), and the window would be gone and
// the account online with nobody to see it, whom a new start hands over to.
func (d *desk) watchEnd() {
	d.ends.Do(func() {
		go func() {
			select {
			case <-d.left:
			case <-time.After(endTime):
				d.log.Warn("the toolkit does not end")
				d.bridge.Close()
				os.Exit(0)
			}
		}()
	})
}

// settle follows after the last call. A window that was closed during one stays
// so, and with it goes the app where it is not to run without.
func (d *desk) settle() {
	d.reminded()
	d.dozer.do(func() {
		if d.leaves && len(d.bridge.State().Calls) == 0 {
			d.quit()
		}
	})
	giveBack()
}

// remindOfRunning says, once, that the app runs without its window where no icon
// shows it.
func (d *desk) remindOfRunning() {
	server := d.notifications(nil)
	if server == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), notifyTime)
	defer stop()
	if server.Tray(ctx) {
		return
	}
	d.said(d.notify(bridge.Notice{
		Title: ui.Say("tray.runs"),
		Body:  ui.Say("tray.runs.text"),
		Open:  func() { d.dozer.do(d.raise) },
	}))
}

// remind says that a call goes on without the window: where there is no tray
// nothing else does.
func (d *desk) remind(c state.Call) {
	name := first(c.Name, c.JID)
	d.said(d.notify(bridge.Notice{
		Title: ui.Say("tray.goes.on", name),
		Body:  ui.Say("tray.goes.on.text"),
		Open:  func() { d.dozer.do(d.raise) },
	}))
}

// said keeps how to take away what was said of the window.
func (d *desk) said(gone func()) {
	if old := d.reminder.Swap(&gone); old != nil {
		(*old)()
	}
}

func (d *desk) reminded() {
	if gone := d.reminder.Swap(nil); gone != nil {
		(*gone)()
	}
}

func (d *desk) raise() {
	d.leaves = false
	d.reminded()
	d.window.Show()
	d.fitScreen()
	d.window.RequestFocus()
}

func (d *desk) tray() {
	host, ok := d.app.(desktop.App)
	if !ok {
		return
	}
	quit := fyne.NewMenuItem(ui.Say("shortcut.quit"), d.quit)
	quit.IsQuit = true
	host.SetSystemTrayMenu(fyne.NewMenu("Carillon", fyne.NewMenuItem(ui.Say("tray.show"), d.raise), quit))
}

// open shows a folder with the program of the system.
func (d *desk) open(path string) error {
	failed := make(chan error, 1)
	d.dozer.do(func() { failed <- d.app.OpenURL(&url.URL{Scheme: "file", Path: path}) })
	select {
	case err := <-failed:
		return err
	case <-time.After(10 * time.Second):
		return nil
	}
}

// choose asks for files or a folder.
func (d *desk) choose(ctx context.Context, folder bool) ([]string, error) {
	chosen := make(chan []string, 1)
	d.dozer.do(func() {
		take := func(u fyne.URI) {
			if u == nil {
				chosen <- nil
				return
			}
			d.last = filepath.Dir(u.Path()) // where more may lie
			chosen <- []string{u.Path()}
		}
		if folder {
			o := dialog.NewFolderOpen(func(l fyne.ListableURI, err error) {
				if err != nil || l == nil {
					chosen <- nil
					return
				}
				take(l)
			}, d.window)
			o.SetTitleText(ui.Say("choose.folder"))
			d.showDialog(o)
			return
		}
		o := dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
			if err != nil || r == nil {
				chosen <- nil
				return
			}
			defer r.Close()
			take(r.URI())
		}, d.window)
		o.SetTitleText(ui.Say("choose.file"))
		d.showDialog(o)
	})
	select {
	case paths := <-chosen:
		return paths, nil
	case <-ctx.Done():
		return nil, nil
	}
}

// showDialog shows one where the last choice was made, or at home.
func (d *desk) showDialog(o *dialog.FileDialog) {
	home, _ := os.UserHomeDir()
	for _, folder := range []string{d.last, home} {
		if l, err := storage.ListerForURI(storage.NewFileURI(folder)); folder != "" && err == nil {
			o.SetLocation(l)
			break
		}
	}
	d.asks = o
	o.SetOnClosed(func() { d.asks = nil })
	o.Show()
	const around = 60
	o.Resize(d.window.Canvas().Size().SubtractWidthHeight(around, around).Min(dialogSize))
}

// dialogSize is that of a dialog for files, where the window has room for it.
var dialogSize = fyne.NewSize(860, 600)

const notifyTime = 3 * time.Second

// redialTime is how long nobody looks again for a notification server that was
// not there. An app that starts with the session may be there first.
const redialTime = 5 * time.Second

// notifications is the notification server, nil if there is none. ended is one
// that is to be replaced, or nil.
func (d *desk) notifications(ended *notify.Notifier) *notify.Notifier {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ended != nil && d.notifier == ended {
		ended.Close()
		d.notifier = nil
	}
	if d.notifier != nil || time.Since(d.dialed) < redialTime {
		return d.notifier
	}
	ctx, stop := context.WithTimeout(context.Background(), notifyTime)
	defer stop()
	n, err := notify.Dial(ctx)
	if err != nil {
		d.log.Info("no notifications", "err", err)
	}
	d.notifier, d.dialed = n, time.Now()
	return n
}

// notify says something by the notification server of the desktop. It runs
// beside everything else, as that server may be slow.
func (d *desk) notify(n bridge.Notice) (remove func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		server := d.notifications(nil)
		if server == nil {
			return
		}
		what := notify.Notification{Title: n.Title, Body: n.Body, Actions: []notify.Action{{ID: notify.Default}}}
		switch {
		case n.Accept != nil:
			what = notify.IncomingCall(n.Title, ui.Say("call.answer"), ui.Say("call.decline"))
			what.Body = ui.Calls(n.Video)
		case n.Asks:
			what.Body = ui.Say("request.text")
		case n.Offers:
			what.Body = ui.Offered(n.Body, n.Size)
		case !n.Missed.IsZero():
			what = notify.MissedCall(n.Title, ui.Missed(n.Missed, n.Video), ui.CallBack())
		}
		// Not with ctx: what is cancelled in the middle may be shown all the
		// same, and nobody would know its number.
		show := func() (*notify.Shown, error) {
			showing, stop := context.WithTimeout(context.Background(), notifyTime)
			defer stop()
			return server.Show(showing, what)
		}
		shown, err := show()
		if errors.Is(err, notify.ErrClosed) && ctx.Err() == nil { // the session's bus began anew
			if server = d.notifications(server); server == nil {
				return
			}
			shown, err = show()
		}
		if err != nil {
			d.log.Info("not notified", "err", err)
			return
		}
		for {
			select {
			case chosen, ok := <-shown.Chosen():
				switch {
				case !ok:
					return
				case chosen == notify.Accept && n.Accept != nil:
					n.Accept()
					d.dozer.do(d.raise)
				case chosen == notify.Decline && n.Decline != nil:
					n.Decline()
				case chosen == notify.CallBack && n.CallBack != nil:
					n.CallBack()
				case chosen == notify.Default && n.Open != nil:
					n.Open()
				}
			case <-ctx.Done():
				closing, stop := context.WithTimeout(context.Background(), notifyTime)
				defer stop()
				if err := shown.Close(closing); err != nil {
					d.log.Debug("notification stays", "err", err)
				}
				return
			}
		}
	}()
	return cancel
}

// serve does what other instances were started for.
func (d *desk) serve(instance *single.Instance) (stop func()) {
	if instance == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range instance.Messages() {
			d.obey(m.Args)
			d.dozer.do(d.raise)
		}
	}()
	return func() {
		instance.Close()
		<-done
	}
}

// obey opens links and addresses. A link may come from any page, so it calls
// nobody by itself: it shows whom it is about.
func (d *desk) obey(args []string) {
	for _, arg := range args {
		l, err := link.Parse(arg)
		if err != nil {
			d.log.Warn("not understood", "arg", arg, "err", err)
			d.bridge.Do(state.Look{Event: state.WentWrong{Problem: state.Problem{Code: "link", Detail: arg}}})
			continue
		}
		d.bridge.Do(state.Look{Event: state.Select{Key: d.bridge.State().Whose(l.To.Bare().String(), l.Account.Bare().String())}})
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
