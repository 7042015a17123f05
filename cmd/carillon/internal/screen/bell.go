package screen

import "io"

// Bell rings the bell of the terminal. Where there is none it does nothing.
func (s *Screen) Bell() {
	if !s.live {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(s.out, "\a")
}
