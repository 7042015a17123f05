package lab

import (
	"encoding/binary"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// A screencopy stands between the portal of wlroots and the compositor, on a
// machine without a graphics device.
//
// Version 0.7 of the portal takes no picture from a compositor that offers none
// in the memory of such a device, though it then takes those in plain memory.
// So this offers one, which is never taken: nobody can ask for it without the
// device. All else goes through as it is.
type screencopy struct {
	mu       sync.Mutex // guards what follows
	registry uint32
	manager  uint32
	frames   map[uint32]uint64 // of the client; width and height
}

// What is watched of the protocol: objects, and the numbers of their messages.
const (
	wlDisplay           = 1
	displayRegistry     = 1
	registryBind        = 0
	screencopyManager   = "zwlr_screencopy_manager_v1"
	managerCapture      = 0
	managerCapturePart  = 1
	frameDestroy        = 1
	frameBuffer         = 0
	frameDMABuf         = 5
	frameBufferDone     = 6
	drmXRGB8888         = 0x34325258
	waylandHead         = 8 // bytes before the arguments
	maxWayland, maxFree = 1 << 16, 1 << 12
)

// startScreencopy listens in dir for the one portal, and returns where.
func startScreencopy(t testing.TB, dir, compositor string) string {
	t.Helper()
	path := filepath.Join(dir, "screencopy")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		client, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: compositor, Net: "unix"})
		if err != nil {
			t.Errorf("reach the compositor: %v", err)
			return
		}
		defer server.Close()
		s := &screencopy{frames: make(map[uint32]uint64)}
		wg.Go(func() {
			forward(server, client, s.event)
			client.Close()
		})
		forward(client, server, s.request)
	})
	// The portal has been stopped by then, which was started later.
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return path
}

// forward carries messages and files until either side ends. Before a message
// goes what watch returns.
func forward(from, to *net.UnixConn, watch func(object uint32, code uint16, args []byte) []byte) {
	in, files := make([]byte, maxWayland), make([]byte, maxFree)
	var left, held []byte
	for {
		n, fn, _, _, err := from.ReadMsgUnix(in, files)
		if err != nil || n == 0 {
			return
		}
		left = append(left, in[:n]...)
		var out []byte
		for len(left) >= waylandHead {
			object, word := binary.NativeEndian.Uint32(left), binary.NativeEndian.Uint32(left[4:])
			size := int(word >> 16)
			if size < waylandHead {
				return
			}
			if len(left) < size {
				break
			}
			out = append(out, watch(object, uint16(word), left[waylandHead:size])...)
			out = append(out, left[:size]...)
			left = left[size:]
		}
		held = append(held, files[:fn]...)
		if len(out) == 0 {
			continue // files go with what they belong to
		}
		_, _, err = to.WriteMsgUnix(out, held, nil)
		if list, e := syscall.ParseSocketControlMessage(held); e == nil { // the other side has its own
			for _, m := range list {
				fds, _ := syscall.ParseUnixRights(&m)
				for _, fd := range fds {
					syscall.Close(fd)
				}
			}
		}
		held = held[:0]
		if err != nil {
			return
		}
	}
}

// word is the ith argument of 32 bits.
func word(args []byte, i int) uint32 {
	if len(args) < 4*i+4 {
		return 0
	}
	return binary.NativeEndian.Uint32(args[4*i:])
}

// request watches what the portal asks.
func (s *screencopy) request(object uint32, code uint16, args []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, frame := s.frames[object]
	switch {
	case object == wlDisplay && code == displayRegistry:
		s.registry = word(args, 0)
	case object == s.registry && code == registryBind: // name, interface, version, object
		if n := int(word(args, 1)); n == len(screencopyManager)+1 && len(args) > 8+n && string(args[8:8+n-1]) == screencopyManager {
			s.manager = binary.NativeEndian.Uint32(args[len(args)-4:])
		}
	case object == s.manager && (code == managerCapture || code == managerCapturePart):
		s.frames[word(args, 0)] = 0
	case frame && code == frameDestroy:
		delete(s.frames, object)
	}
	return nil
}

// event watches what the compositor answers, and returns what comes before it.
func (s *screencopy) event(object uint32, code uint16, args []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	size, frame := s.frames[object]
	switch {
	case frame && code == frameBuffer: // format, width, height, stride
		s.frames[object] = uint64(word(args, 1))<<32 | uint64(word(args, 2))
	case frame && code == frameDMABuf: // there is a device
		s.frames[object] = 0
	case frame && code == frameBufferDone && size != 0:
		var b []byte
		for _, v := range []uint32{object, (waylandHead+12)<<16 | frameDMABuf, drmXRGB8888, uint32(size >> 32), uint32(size)} {
			b = binary.NativeEndian.AppendUint32(b, v)
		}
		return b
	}
	return nil
}
