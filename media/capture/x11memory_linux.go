package capture

import (
	"log/slog"

	"github.com/jezek/xgb/shm"
	"golang.org/x/sys/unix"
)

// A sharedMemory is pixels that we and the server of a display both see.
type sharedMemory struct {
	d   *display
	log *slog.Logger

	shares bool // as far as is known
	seg    shm.Seg
	memory []byte
}

func newSharedMemory(d *display, log *slog.Logger) sharedMemory {
	return sharedMemory{d: d, log: log, shares: d.has(extMemory)}
}

// share makes sure that there is so much memory shared with the server, and
// reports whether there is. A server on another machine shares none.
func (m *sharedMemory) share(n int) bool {
	if len(m.memory) >= n {
		return true
	}
	if !m.shares {
		return false
	}
	m.unshare()
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, n, unix.IPC_CREAT|0o600)
	if err != nil {
		return m.alone(err)
	}
	memory, err := unix.SysvShmAttach(id, 0, 0)
	if err == nil {
		var seg shm.Seg
		if seg, err = shm.NewSegId(m.d.conn); err == nil {
			err = shm.AttachChecked(m.d.conn, seg, uint32(id), false).Check()
		}
		if err == nil {
			m.seg, m.memory = seg, memory
		} else {
			_ = unix.SysvShmDetach(memory)
		}
	}
	// It lives as long as both sides have it.
	if _, e := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err == nil {
		err = e
	}
	if err != nil {
		return m.alone(err)
	}
	return true
}

// alone gives up sharing memory.
func (m *sharedMemory) alone(err error) bool {
	m.log.Debug("no memory is shared with the display", "err", err)
	m.unshare()
	m.shares = false
	return false
}

func (m *sharedMemory) unshare() {
	if m.memory == nil {
		return
	}
	_ = shm.DetachChecked(m.d.conn, m.seg).Check() // the connection may be gone
	_ = unix.SysvShmDetach(m.memory)
	m.seg, m.memory = 0, nil
}
