package ui

import (
	"fmt"
	"image/color"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
)

// An icon is the inside of an SVG of 24 by 24, drawn with round strokes in
// one colour; the word COLOR is replaced by it.
type icon string

// The icons.
const (
	iconPhone     icon = `<path d="M6.2 3.5h2.6l1.7 4.4-2.1 1.5a12 12 0 0 0 6.2 6.2l1.5-2.1 4.4 1.7v2.6a2.2 2.2 0 0 1-2.4 2.2A16.2 16.2 0 0 1 4 5.9a2.2 2.2 0 0 1 2.2-2.4z"/>`
	iconHangUp    icon = `<path fill="COLOR" d="M3 14.6c0-4.4 4.2-6.6 9-6.6s9 2.2 9 6.6v1.2l-4.6.9-.9-3.1a13 13 0 0 0-7 0l-.9 3.1-4.6-.9z"/>`
	iconMic       icon = `<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3"/>`
	iconMicOff    icon = `<path d="M9 9v2a3 3 0 0 0 5 2.2M15 10V6a3 3 0 0 0-5.8-1M5.5 11.5a6.5 6.5 0 0 0 10.6 5M18.4 12.4c.1-.3.1-.6.1-.9M12 18v3M4 3.5l16 17"/>`
	iconCamera    icon = `<rect x="2.5" y="6" width="13" height="12" rx="2.5"/><path d="M15.5 10.8l6-3.3v9l-6-3.3z"/>`
	iconCameraOff icon = `<path d="M10 6h3a2.5 2.5 0 0 1 2.5 2.5v2.3l6-3.3v9l-4-2.2M15 17.4a2.5 2.5 0 0 1-2 .6H5a2.5 2.5 0 0 1-2.5-2.5v-7A2.5 2.5 0 0 1 5 6M4 3l16 18"/>`
	iconScreen    icon = `<rect x="2.5" y="4" width="19" height="13" rx="2"/><path d="M8.5 20.5h7M12 14V8M9.2 10.4L12 7.6l2.8 2.8"/>`
	iconWindow    icon = `<rect x="2.5" y="4" width="19" height="16" rx="2"/><path d="M2.5 9h19M5.6 6.5h.01M8.4 6.5h.01"/>`
	iconHold      icon = `<path stroke-width="2.6" d="M8.5 6v12M15.5 6v12"/>`
	iconResume    icon = `<path d="M8 5.5v13l10.5-6.5z"/>`
	iconKeys      icon = `<path stroke-width="2.8" d="M6 5h.01M12 5h.01M18 5h.01M6 11h.01M12 11h.01M18 11h.01M6 17h.01M12 17h.01M18 17h.01"/>`
	iconMore      icon = `<path stroke-width="2.8" d="M5 12h.01M12 12h.01M19 12h.01"/>`
	iconFull      icon = `<path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>`
	iconUnfull    icon = `<path d="M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5"/>`
	iconInfo      icon = `<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.6v.01"/>`
	iconBack      icon = `<path d="M14.5 5.5L8 12l6.5 6.5"/>`
	iconClose     icon = `<path d="M6 6l12 12M18 6L6 18"/>`
	iconPlus      icon = `<path d="M12 5v14M5 12h14"/>`
	iconCheck     icon = `<path d="M5 12.5l4.5 4.5L19 7.5"/>`
	iconPeople    icon = `<circle cx="9" cy="8.2" r="3.7"/><path d="M2.5 19.5c.4-3.6 3-5.5 6.5-5.5s6.1 1.9 6.5 5.500M15.5 4.800a3.7 3.7 0 0 1 0 6.800M18 14.600c2 .8 3.2 2.4 3.5 4.9"/>`
	iconClock     icon = `<circle cx="12" cy="12" r="9"/><path d="M12 7v5.3l3.6 2.2"/>`
	iconFiles     icon = `<path d="M8 20V5.500M8 5.500L4.5 9M8 5.500L11.5 9M16 4v14.500M16 18.500L12.5 15M16 18.500L19.5 15"/>`
	iconSettings  icon = `<path d="M4 7h9M19 7h1M4 17h2M12 17h8"/><circle cx="16" cy="7" r="2.5"/><circle cx="9" cy="17" r="2.5"/>`
	iconSearch    icon = `<circle cx="10.5" cy="10.5" r="6.5"/><path d="M15.5 15.500L20.5 20.5"/>`
	iconFile      icon = `<path d="M6 3.500h8l4.5 4.500v12.500H6zM13.5 3.500V8.500h5"/>`
	iconFolder    icon = `<path d="M3 18.500v-13h6.500l2 2.500H21v10.500z"/>`
	iconLock      icon = `<rect x="5" y="10.5" width="14" height="10" rx="2.5"/><path d="M8 10.500V7.500a4 4 0 0 1 8 0v3"/>`
	iconAlert     icon = `<path d="M12 3.800L2.8 19.800h18.400zM12 10v4.500M12 17v.01"/>`
	iconPulse     icon = `<path d="M2.5 12.500h4.500l2.5-7 4.5 13 2.5-6h5"/>`
	iconSwap      icon = `<path d="M4 8.500h15M15.5 5L19 8.5 15.5 12M20 15.500H5M8.5 12L5 15.5 8.5 19"/>`
	iconIn        icon = `<path d="M18 6L7 17M7 9v8h8"/>`
	iconOut       icon = `<path d="M6 18L17 7M9 7h8v8"/>`
	iconSpeaker   icon = `<path d="M4 9.500v5h3.500L12 18.500v-13L7.5 9.500zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.500a8 8 0 0 1 0 11"/>`
	iconBell      icon = `<path d="M5.5 17h13c-1.3-1.5-1.7-3-1.7-6.500a4.8 4.8 0 0 0-9.6 0C7.2 14 6.8 15.5 5.5 17zM10 20a2.2 2.2 0 0 0 4 0"/>`
	iconEye       icon = `<path d="M2.5 12c2-4 5.5-6.5 9.500-6.500s7.5 2.5 9.500 6.500c-2 4-5.500 6.500-9.500 6.500S4.500 16 2.500 12z"/><circle cx="12" cy="12" r="3"/>`
	iconEyeOff    icon = `<path d="M2.5 12c2-4 5.5-6.5 9.500-6.500s7.500 2.500 9.500 6.500c-2 4-5.500 6.500-9.500 6.500S4.500 16 2.500 12z"/><circle cx="12" cy="12" r="3"/><path d="M4 3.500l16 17"/>`
	iconTrash     icon = `<path d="M4.5 7h15M9.5 7V4.500h5V7M6.5 7l1 13.500h9L17.5 7"/>`
	iconSignal1   icon = `<path stroke-width="3" d="M6 18v-3"/><path stroke-width="3" stroke-opacity=".3" d="M12 18V10.500M18 18V6"/>`
	iconSignal2   icon = `<path stroke-width="3" d="M6 18v-3M12 18V10.5"/><path stroke-width="3" stroke-opacity=".3" d="M18 18V6"/>`
	iconSignal3   icon = `<path stroke-width="3" d="M6 18v-3M12 18V10.500M18 18V6"/>`
)

// in returns the icon as a picture in a colour.
func (i icon) in(c color.Color) fyne.Resource {
	r, g, b, a := c.RGBA()
	if a == 0 {
		a = 0xffff
	}
	hex := fmt.Sprintf("#%02x%02x%02x", r*0xff/a, g*0xff/a, b*0xff/a)
	text := make([]byte, 0, len(i)+200)
	text = fmt.Appendf(text, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="24" height="24"><g fill="none" stroke="%s" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round">`, hex)
	text = append(text, strings.ReplaceAll(string(i), "COLOR", hex)...)
	text = append(text, `</g></svg>`...)
	// Fyne remembers pictures by name.
	return fyne.NewStaticResource(fmt.Sprintf("carillon-%x-%s.svg", hash(string(i)), hex[1:]), text)
}

// hash is FNV-1a, for names and colours that stay the same.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// picture is an icon that is no button.
func picture(what icon, size float32, name fyne.ThemeColorName) *canvas.Image {
	i := canvas.NewImageFromResource(what.in(paint(name)))
	i.FillMode = canvas.ImageFillContain
	i.SetMinSize(fyne.NewSquareSize(size))
	return i
}
