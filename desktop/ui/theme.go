package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// Theme is how the app looks. A forced variant wins over that of the system.
type Theme struct {
	fyne.Theme
	Force *fyne.ThemeVariant // nil follows the system
}

// NewTheme returns the look for what the settings say: "light", "dark", or ""
// to follow the system.
func NewTheme(want string) *Theme {
	t := &Theme{Theme: theme.DefaultTheme()}
	light, dark := theme.VariantLight, theme.VariantDark
	switch want {
	case "light":
		t.Force = &light
	case "dark":
		t.Force = &dark
	}
	return t
}

// Colours besides those that Fyne names.
const (
	colorSide     fyne.ThemeColorName = "carillon-side"     // behind the list of people
	colorCard     fyne.ThemeColorName = "carillon-card"     // raised above the background
	colorMuted    fyne.ThemeColorName = "carillon-muted"    // text that matters less
	colorCall     fyne.ThemeColorName = "carillon-call"     // taking a call
	colorHangUp   fyne.ThemeColorName = "carillon-hang-up"  // ending one
	colorChosen   fyne.ThemeColorName = "carillon-chosen"   // the row of who is shown
	colorNotice   fyne.ThemeColorName = "carillon-notice"   // behind a remark
	colorStage    fyne.ThemeColorName = "carillon-stage"    // behind a picture; dark in both variants
	colorOnStage  fyne.ThemeColorName = "carillon-on-stage" // text on it
	colorDimStage fyne.ThemeColorName = "carillon-dim-stage"
	colorControl  fyne.ThemeColorName = "carillon-control" // buttons on it
	colorGood     fyne.ThemeColorName = "carillon-good"    // remarks on it
	colorFair     fyne.ThemeColorName = "carillon-fair"
	colorPoor     fyne.ThemeColorName = "carillon-poor"
)

func rgb(v uint32) color.Color {
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 0xff}
}

func rgba(v uint32, a uint8) color.Color {
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: a}
}

var lightColors = map[fyne.ThemeColorName]color.Color{
	theme.ColorNameBackground: rgb(0xffffff), theme.ColorNameForeground: rgb(0x1b1e26),
	theme.ColorNamePrimary: rgb(0x4a58c9), theme.ColorNameForegroundOnPrimary: rgb(0xffffff),
	theme.ColorNameHyperlink: rgb(0x4a58c9), theme.ColorNameFocus: rgba(0x4a58c9, 0x66),
	theme.ColorNameSelection: rgba(0x4a58c9, 0x33), theme.ColorNameHover: rgba(0x1b1e26, 0x0f),
	theme.ColorNamePressed: rgba(0x1b1e26, 0x1e), theme.ColorNameButton: rgb(0xeceef3),
	theme.ColorNameDisabled: rgb(0x757b8a), theme.ColorNameDisabledButton: rgb(0xf1f2f5),
	theme.ColorNameInputBackground: rgb(0xffffff), theme.ColorNameInputBorder: rgb(0xd6d9e1),
	theme.ColorNamePlaceHolder: rgb(0x868c9a), theme.ColorNameSeparator: rgb(0xe4e6ec),
	theme.ColorNameMenuBackground: rgb(0xffffff), theme.ColorNameOverlayBackground: rgb(0xffffff),
	theme.ColorNameScrollBar: rgba(0x1b1e26, 0x55), theme.ColorNameShadow: rgba(0x1b1e26, 0x22),
	theme.ColorNameError: rgb(0xc7373f), theme.ColorNameSuccess: rgb(0x1f8a5b), theme.ColorNameWarning: rgb(0xb7791f),
	colorSide: rgb(0xf4f5f8), colorCard: rgb(0xf6f7fa), colorMuted: rgb(0x6a7080),
	colorChosen: rgb(0xe1e4f6), colorNotice: rgb(0xfff5e0),
}

var darkColors = map[fyne.ThemeColorName]color.Color{
	theme.ColorNameBackground: rgb(0x191b21), theme.ColorNameForeground: rgb(0xeceef3),
	theme.ColorNamePrimary: rgb(0x8390f0), theme.ColorNameForegroundOnPrimary: rgb(0x14161b),
	theme.ColorNameHyperlink: rgb(0x9aa5f5), theme.ColorNameFocus: rgba(0x8390f0, 0x77),
	theme.ColorNameSelection: rgba(0x8390f0, 0x44), theme.ColorNameHover: rgba(0xffffff, 0x12),
	theme.ColorNamePressed: rgba(0xffffff, 0x22), theme.ColorNameButton: rgb(0x2b2e37),
	theme.ColorNameDisabled: rgb(0x8b91a0), theme.ColorNameDisabledButton: rgb(0x23262d),
	theme.ColorNameInputBackground: rgb(0x23262d), theme.ColorNameInputBorder: rgb(0x3a3e49),
	theme.ColorNamePlaceHolder: rgb(0x868c9a), theme.ColorNameSeparator: rgb(0x2c2f38),
	theme.ColorNameMenuBackground: rgb(0x23262d), theme.ColorNameOverlayBackground: rgb(0x23262d),
	theme.ColorNameScrollBar: rgba(0xffffff, 0x55), theme.ColorNameShadow: rgba(0x000000, 0x66),
	theme.ColorNameError: rgb(0xf0727a), theme.ColorNameSuccess: rgb(0x4fc08d), theme.ColorNameWarning: rgb(0xe0b050),
	colorSide: rgb(0x14161b), colorCard: rgb(0x21242b), colorMuted: rgb(0x9aa0ae),
	colorChosen: rgb(0x2a2f4d), colorNotice: rgb(0x352d1c),
}

// The stage of a call is the same in both.
var stageColors = map[fyne.ThemeColorName]color.Color{
	colorCall: rgb(0x23945f), colorHangUp: rgb(0xd13b44), colorStage: rgb(0x101216),
	colorOnStage: rgb(0xf4f5f8), colorDimStage: rgb(0xa3a9b7), colorControl: rgb(0x2a2d35),
	colorGood: rgb(0x4fc08d), colorFair: rgb(0xf0c060), colorPoor: rgb(0xf0727a),
}

// Variant is light or dark, whichever is shown.
func (t *Theme) Variant(system fyne.ThemeVariant) fyne.ThemeVariant {
	if t.Force != nil {
		return *t.Force
	}
	return system
}

// Color implements fyne.Theme.
func (t *Theme) Color(name fyne.ThemeColorName, system fyne.ThemeVariant) color.Color {
	if c, ok := stageColors[name]; ok {
		return c
	}
	v := t.Variant(system)
	colors := lightColors
	if v == theme.VariantDark {
		colors = darkColors
	}
	if c, ok := colors[name]; ok {
		return c
	}
	return t.Theme.Color(name, v)
}

// Size implements fyne.Theme.
func (t *Theme) Size(name fyne.ThemeSizeName) float32 {
	switch name {
	case theme.SizeNameText:
		return textNormal
	case theme.SizeNameCaptionText:
		return textSmall
	case theme.SizeNameHeadingText:
		return textTitle
	case theme.SizeNameSubHeadingText:
		return textHead
	case theme.SizeNameInputRadius, theme.SizeNameSelectionRadius, theme.SizeNameButtonRadius:
		return 8
	case theme.SizeNamePadding:
		return 5
	case theme.SizeNameInnerPadding:
		return 8
	case theme.SizeNameScrollBar:
		return 10
	}
	return t.Theme.Size(name)
}

// Sizes of text.
const (
	textSmall  float32 = 12
	textNormal float32 = 14
	textHead   float32 = 17
	textTitle  float32 = 22
)

// paint returns a colour of the theme that is set.
func paint(name fyne.ThemeColorName) color.Color { return theme.Color(name) }
