package access

// What AT-SPI calls roles and states, by number and name: atspi-constants.h of
// at-spi2-core, which only ever adds to them.

var roles = map[Role]struct {
	number int
	name   string
}{
	Panel:    {39, "panel"},
	Window:   {23, "frame"},
	Dialog:   {16, "dialog"},
	Button:   {43, "push button"},
	CheckBox: {7, "check box"},
	ComboBox: {11, "combo box"},
	Entry:    {79, "entry"},
	Password: {40, "password text"},
	Label:    {29, "label"},
	Heading:  {83, "heading"},
	List:     {31, "list"},
	ListItem: {32, "list item"},
	Menu:     {41, "popup menu"},
	MenuItem: {35, "menu item"},
	Tab:      {37, "page tab"},
	Progress: {42, "progress bar"},
	Meter:    {103, "level bar"},
	Slider:   {51, "slider"},
	Image:    {27, "image"},
	Notice:   {101, "notification"},
}

const roleApplication = 75

// stateNames are the states of AT-SPI that each of ours is.
var stateNames = []struct {
	state   State
	numbers []int
	names   []string
}{
	{Focused, []int{12}, []string{"focused"}},
	{Focusable, []int{11}, []string{"focusable"}},
	{Enabled, []int{8, 24}, []string{"enabled", "sensitive"}},
	{Showing, []int{25}, []string{"showing"}},
	{Checked, []int{4}, []string{"checked"}},
	{Checkable, []int{41}, []string{"checkable"}},
	{Selected, []int{23}, []string{"selected"}},
	{Selectable, []int{22}, []string{"selectable"}},
	{Expanded, []int{10}, []string{"expanded"}},
	{Expandable, []int{9}, []string{"expandable"}},
	{Modal, []int{16}, []string{"modal"}},
	{Active, []int{1}, []string{"active"}},
	{Busy, []int{3}, []string{"busy"}},
	{Editable, []int{7}, []string{"editable"}},
}

const (
	stateDefunct    = 6
	stateSingleLine = 26
	stateVisible    = 30
)

// stateBits are the states of a node as AT-SPI writes them: 64 bits in two.
func stateBits(n *Node) []uint32 {
	bits := uint64(1) << stateVisible
	for _, x := range stateNames {
		if n.State&x.state != 0 {
			for _, i := range x.numbers {
				bits |= 1 << i
			}
		}
	}
	if n.Role == Entry || n.Role == Password {
		bits |= 1 << stateSingleLine
	}
	return []uint32{uint32(bits), uint32(bits >> 32)}
}
