package bridge

import (
	"context"
	"image"
	"sync"
	"sync/atomic"

	"github.com/carillon-im/carillon/media/video"
)

// A picture turns frames into what the screen shows. Three buffers go round:
// one is on the screen, one may be on its way there, and one is written. When
// the screen has not taken the last picture, the next is dropped: nobody
// would see it.
type picture struct {
	b       *Bridge
	show    func(View, image.Image)
	past    func(*image.YCbCr) bool // shows a picture past the view, if it does
	waiting atomic.Bool
	// fresh has a buffer made for every picture: a view may keep these as long
	// as it likes, which our own, small ones are for.
	fresh bool
	// mirror shows what is on the left on the right, as a mirror does.
	mirror bool

	mu      sync.Mutex
	buffers [3]*image.RGBA
	next    int
	turned  *image.YCbCr
	seen    *image.YCbCr // mirrored
	closed  bool
}

// newPicture returns a sink that shows what is written to it, with past if that
// takes it, which may be nil.
func newPicture(b *Bridge, show func(View, image.Image), past func(*image.YCbCr) bool) *picture {
	return &picture{b: b, show: show, past: past}
}

// Write implements video.Sink.
func (p *picture) Write(f video.Frame) error {
	if p.waiting.Load() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || f.Image == nil {
		return nil
	}
	src := f.Image
	if f.Rotation != 0 {
		p.turned = video.Rotate(p.turned, src, f.Rotation)
		src = p.turned
	}
	if p.mirror {
		p.seen = mirrored(p.seen, src)
		src = p.seen
	}
	if p.past != nil && p.past(src) {
		return nil
	}
	dst := p.buffers[p.next]
	if p.fresh {
		dst = nil
	}
	if dst == nil || dst.Rect.Size() != src.Rect.Size() {
		dst = image.NewRGBA(image.Rectangle{Max: src.Rect.Size()})
		p.buffers[p.next] = dst
	}
	p.next = (p.next + 1) % len(p.buffers)
	video.ToRGBA(dst, src)
	p.b.onViewOnce(&p.waiting, func(v View) { p.show(v, dst) })
	return nil
}

// Close implements video.Sink.
func (p *picture) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// A preview is a source of pictures of which we see a small copy ourselves.
type preview struct {
	video.Source
	sink  *picture
	small *image.YCbCr
	count int
}

const previewWidth = 320

// newPreview shows its copies with sink, the other way round if people look at
// themselves in it. A view parks them until it draws something else anyway, and
// then draws the last of them: none may be written again while it may be that one.
func newPreview(s video.Source, sink *picture, mirror bool) video.Source {
	sink.fresh, sink.mirror = true, mirror
	return &preview{Source: s, sink: sink}
}

// Read implements video.Source.
func (p *preview) Read(ctx context.Context) (video.Frame, error) {
	f, err := p.Source.Read(ctx)
	// Every second picture is enough for a look at oneself.
	if p.count++; err == nil && p.count%2 == 0 && f.Image != nil {
		small := f
		if w, h := f.Image.Rect.Dx(), f.Image.Rect.Dy(); w > previewWidth {
			p.small = video.Scale(p.small, f.Image, previewWidth, max(2, h*previewWidth/w)&^1)
			small.Image = p.small
		}
		if err := p.sink.Write(small); err != nil {
			return f, err
		}
	}
	return f, err
}

// Close implements video.Source.
func (p *preview) Close() error {
	p.sink.Close()
	return p.Source.Close()
}

// Live has a camera read before anybody answers, so that people see how they look.
func (p *preview) Live() bool {
	l, ok := p.Source.(interface{ Live() bool })
	return ok && l.Live()
}

// Drawn implements video.Drawn.
func (p *preview) Drawn() bool { return video.IsDrawn(p.Source) }

// Ask implements video.Asker.
func (p *preview) Ask(width, height int, fps float64) {
	if a, ok := p.Source.(video.Asker); ok {
		a.Ask(width, height, fps)
	}
}

// mirrored draws src the other way round, into dst if that has its size.
func mirrored(dst, src *image.YCbCr) *image.YCbCr {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	if dst == nil || dst.Rect != image.Rect(0, 0, w, h) {
		dst = video.NewImage(w, h)
	}
	plane := func(d []byte, ds int, s []byte, ss, w, h int) {
		for y := range h {
			to, from := d[y*ds:][:w], s[y*ss:][:w]
			for x := range to {
				to[x] = from[w-1-x]
			}
		}
	}
	y, c := src.YOffset(src.Rect.Min.X, src.Rect.Min.Y), src.COffset(src.Rect.Min.X, src.Rect.Min.Y)
	plane(dst.Y, dst.YStride, src.Y[y:], src.YStride, w, h)
	plane(dst.Cb, dst.CStride, src.Cb[c:], src.CStride, (w+1)/2, (h+1)/2)
	plane(dst.Cr, dst.CStride, src.Cr[c:], src.CStride, (w+1)/2, (h+1)/2)
	return dst
}
