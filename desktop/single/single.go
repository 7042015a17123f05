// Package single lets one instance of the app run for each person. A second
// one hands what it was started with to the first, which shows its window, and
// ends.
//
//	first, err := single.Start(ctx, dir, single.Message{Args: os.Args[1:]})
//	if errors.Is(err, single.ErrHandedOver) {
//		return nil // the first one does it
//	}
//	defer first.Close()
//	for m := range first.Messages() { ... }
//
// They meet at a Unix socket, which also Windows has, in a folder that only
// the person can read.
package single

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrHandedOver says that another instance runs and has taken the message.
var ErrHandedOver = errors.New("the app runs already and does it")

// A Message is what an instance was started with.
type Message struct {
	// Args are those of the command line without the program: none, a link, or
	// files to send.
	Args []string `json:"args"`
	// Dir is where it was started, for files that are not named from the root.
	Dir string `json:"dir"`
	// Activation is the token with which a window may come to the front, from
	// XDG_ACTIVATION_TOKEN or DESKTOP_STARTUP_ID.
	Activation string `json:"activation,omitempty"`
}

// FromEnvironment is the message of this process.
func FromEnvironment(args []string) Message {
	dir, _ := os.Getwd() // without it, only files from the root are found
	m := Message{Args: args, Dir: dir}
	for _, name := range []string{"XDG_ACTIVATION_TOKEN", "DESKTOP_STARTUP_ID"} {
		if m.Activation = os.Getenv(name); m.Activation != "" {
			break
		}
	}
	return m
}

const (
	// maxMessage bounds a message, in bytes.
	maxMessage = 1 << 20
	// maxWaiting bounds the messages nobody has taken yet.
	maxWaiting = 16
	// talkTimeout bounds the talk of two instances.
	talkTimeout = 5 * time.Second

	socketName = "instance"
	lockName   = "instance.lock"
)

// RuntimeDir is the folder for Start: of this login where the system has one.
func RuntimeDir() (string, error) {
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "carillon"), nil
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for the running app: %w", err)
	}
	return filepath.Join(d, "carillon", "run"), nil
}

// An Instance is the first one.
type Instance struct {
	listener *net.UnixListener
	lock     io.Closer
	messages chan Message
	stop     chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

// Start returns an Instance if none runs, and otherwise hands m over and
// returns ErrHandedOver. dir is made if it is not there.
func Start(ctx context.Context, dir string, m Message) (*Instance, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the running app: %w", err)
	}
	path := filepath.Join(dir, socketName)
	// Who holds the lock is the first, and alone touches the socket. The system
	// lets go of it when the process ends, however that happens.
	lock, err := tryLock(filepath.Join(dir, lockName))
	if errors.Is(err, errLocked) {
		if err := hand(ctx, path, m); err != nil {
			return nil, fmt.Errorf("the app runs already and does not answer: %w", err)
		}
		return nil, ErrHandedOver
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("remove what a crash left: %w", err), lock.Close())
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for other instances: %w", err), lock.Close())
	}
	i := &Instance{listener: l, lock: lock, messages: make(chan Message, maxWaiting), stop: make(chan struct{})}
	i.wg.Go(i.serve)
	return i, nil
}

// Messages gives what other instances were started with. It is closed by Close.
func (i *Instance) Messages() <-chan Message { return i.messages }

func (i *Instance) serve() {
	defer close(i.messages)
	for {
		conn, err := i.listener.AcceptUnix()
		if err != nil {
			select {
			case <-i.stop:
				return
			case <-time.After(100 * time.Millisecond): // too many files are open, perhaps
				continue
			}
		}
		m, err := receive(conn)
		if err == nil {
			select {
			case i.messages <- m:
				_, err = conn.Write([]byte{'+'})
			case <-i.stop:
			}
		}
		_ = err // the other one says what went wrong
		conn.Close()
	}
}

func receive(conn net.Conn) (m Message, err error) {
	if err := conn.SetDeadline(time.Now().Add(talkTimeout)); err != nil {
		return m, err
	}
	err = json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&m)
	return m, err
}

// hand gives m to the first instance, which may be just about to listen.
func hand(ctx context.Context, path string, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, talkTimeout)
	defer cancel()
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) >= maxMessage {
		return fmt.Errorf("%d bytes are too much", len(b))
	}
	for {
		if err = once(ctx, path, b); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func once(ctx context.Context, path string, b []byte) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	var answer [1]byte
	_, err = io.ReadFull(conn, answer[:])
	return err
}

// Close lets another instance be the first.
func (i *Instance) Close() (err error) {
	i.once.Do(func() {
		close(i.stop)
		err = i.listener.Close() // which removes the socket
		i.wg.Wait()
		err = errors.Join(err, i.lock.Close())
	})
	return err
}
