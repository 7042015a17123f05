package screen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Keys delivers what a person types: single keys from a terminal, and the
// first letter of each line from anything else.
type Keys struct {
	c       chan rune
	restore func()
}

// Interrupt is what Ctrl-C types in a terminal whose keys we read.
const Interrupt = '\x03'

// maxKeys bounds what is typed and not yet handled.
const maxKeys = 64

// Keys begins to read keys, until ctx ends. Close gives the terminal back.
//
// A read of a terminal cannot be interrupted, so the goroutine that waits for
// the next key stays until one comes or the program ends; it holds nothing
// else. Keys is therefore called once in a program.
func (s *Screen) Keys(ctx context.Context, in io.Reader) (*Keys, error) {
	k := &Keys{c: make(chan rune, maxKeys), restore: func() {}}
	if s.in != nil {
		old, err := term.MakeRaw(int(s.in.Fd()))
		if err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		k.restore = sync.OnceFunc(func() {
			s.setRaw(false, nil)
			// Nothing can be done when this fails: the terminal is gone.
			_ = term.Restore(int(s.in.Fd()), old)
		})
		s.setRaw(true, k.restore)
	}
	lines := s.in == nil
	go func() {
		defer close(k.c)
		r := bufio.NewReader(in)
		fresh := true // at the beginning of a line
		for {
			c, _, err := r.ReadRune()
			if err != nil {
				return
			}
			if lines {
				wanted := fresh && c != '\n'
				fresh = c == '\n'
				if !wanted {
					continue
				}
			}
			select {
			case k.c <- c:
			case <-ctx.Done():
				return
			default: // typed faster than anybody handles it
			}
		}
	}()
	return k, nil
}

// C delivers the keys. It is closed at the end of the input.
func (k *Keys) C() <-chan rune { return k.c }

// Close gives the terminal back as it was. It may be called twice.
func (k *Keys) Close() { k.restore() }

func (s *Screen) setRaw(on bool, restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw, s.restore = on, restore
}

// AskPassword asks without showing what is typed, until ctx ends. It is an
// error when nobody can be asked.
//
// As with Keys, the goroutine that reads stays until a line comes or the
// program ends.
func (s *Screen) AskPassword(ctx context.Context, prompt string) (string, error) {
	if s.in == nil {
		return "", ErrNobody
	}
	old, err := term.GetState(int(s.in.Fd()))
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	restore := sync.OnceFunc(func() {
		s.setRaw(false, nil)
		_ = term.Restore(int(s.in.Fd()), old) // the terminal is gone when this fails
	})
	defer restore()
	s.setRaw(false, restore)
	fmt.Fprint(s.err, prompt)
	type answer struct {
		text []byte
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(int(s.in.Fd()))
		read <- answer{text, err}
	}()
	select {
	case a := <-read:
		fmt.Fprintln(s.err)
		if a.err != nil {
			return "", fmt.Errorf("ask for the password: %w", a.err)
		}
		return strings.TrimRight(string(a.text), "\r\n"), nil
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return "", context.Cause(ctx)
	}
}

// ErrNobody is returned when a question cannot be asked.
var ErrNobody = fmt.Errorf("nobody can be asked: the input is not a terminal")

// Restore gives the terminal back before a sudden end.
func (s *Screen) Restore() {
	s.Clear()
	s.mu.Lock()
	restore := s.restore
	s.mu.Unlock()
	if restore != nil {
		restore()
	}
}
