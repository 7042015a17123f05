package cli

import (
	"context"
	"errors"
	"time"

	"github.com/alecthomas/kong"
)

// tree is the command line. Its tags and Help methods are also what the man
// pages and completions are made of.
type tree struct {
	Account      string   `short:"a" placeholder:"JID" completes:"accounts" help:"Account to use, when several are logged in." group:"Global flags:"`
	PasswordFile string   `placeholder:"FILE" help:"File whose first line is the password, for accounts that are not logged in." group:"Global flags:"`
	Server       string   `placeholder:"HOST:PORT" help:"Server to connect to, instead of what DNS says." group:"Global flags:"`
	CAFile       string   `name:"ca-file" placeholder:"FILE" help:"PEM certificates to trust besides those of the system." group:"Global flags:"`
	Config       string   `placeholder:"FILE" help:"Configuration file, instead of the usual one." group:"Global flags:"`
	LogLevel     string   `placeholder:"LEVEL" help:"What to log on stderr: trace, debug, info, warn or error. Default: error." group:"Global flags:"`
	LogStanzas   bool     `help:"Log everything sent and received, without passwords, on stderr." group:"Global flags:"`
	JSON         bool     `name:"json" help:"Print one JSON object a line on stdout, for programs." group:"Global flags:"`
	ShowHelp     helpFlag `name:"help" short:"h" help:"Show help." group:"Global flags:"`

	Login      loginCmd      `cmd:"" help:"Log in to an account and keep it."`
	Logout     logoutCmd     `cmd:"" help:"Forget an account and its password."`
	Accounts   accountsCmd   `cmd:"" help:"List the accounts that are logged in."`
	Contacts   contactsCmd   `cmd:"" help:"List, add and remove contacts."`
	Call       callCmd       `cmd:"" help:"Call somebody."`
	Answer     answerCmd     `cmd:"" help:"Wait for calls and answer them."`
	Send       sendCmd       `cmd:"" help:"Send files and folders to somebody."`
	Receive    receiveCmd    `cmd:"" help:"Wait for files and folders and receive them."`
	Transfers  transfersCmd  `cmd:"" help:"List transfers that are not finished, and go on with them."`
	Devices    devicesCmd    `cmd:"" help:"List microphones, speakers, cameras, screens and windows."`
	History    historyCmd    `cmd:"" help:"List past calls."`
	Doctor     doctorCmd     `cmd:"" help:"Say what stands in the way of calls."`
	Demo       demoCmd       `cmd:"" help:"Make a call between two clients on this machine."`
	Completion completionCmd `cmd:"" help:"Print the completion of a shell."`
	Complete   completeCmd   `cmd:"" hidden:"" help:"Print what a completion offers."`
	Man        manCmd        `cmd:"" hidden:"" help:"Write the man pages into a folder."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// Help is the detail of "carillon --help".
func (tree) Help() string {
	return `Try it without any account:

    carillon demo

Log in once, then call:

    carillon login alice@example.org
    carillon call bob@example.org

Send files and folders, and receive them:

    carillon send photos/ bob@example.org
    carillon receive --dir inbox

Take a call in a script, and keep what was heard:

    carillon answer --auto --once --mic file:hello.wav --speaker file:heard.wav

Settings are read from config.toml in $XDG_CONFIG_HOME/carillon (~/.config/carillon); flags win over it.
$CARILLON_PASSWORD is the password of the account that --account names.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the peer declined, 4 nobody answered. Ctrl-C hangs up politely, a second one quits.`
}

type helpFlag bool

// errHelp ends the parsing after help was shown.
var errHelp = errors.New("help was shown")

// BeforeReset shows the help of the command that was named.
func (helpFlag) BeforeReset(k *kong.Context) error {
	if err := k.PrintUsage(false); err != nil {
		return err
	}
	return errHelp
}

// IgnoreDefault keeps kong from calling BeforeReset when the flag is absent.
func (helpFlag) IgnoreDefault() {}

type loginCmd struct {
	JID        string `arg:"" name:"jid" completes:"accounts" help:"Address of the account, such as alice@example.org."`
	AllowPlain bool   `help:"Let the server see the password (SASL PLAIN, over TLS only) when it offers no better way, now and later."`
}

func (loginCmd) Help() string {
	return `The password is asked for, checked with the server, and kept in the keyring of the system, or in a file that only you can read where there is no keyring. The strongest way to log in that the server offers is remembered, and nothing weaker is accepted later; logging in anew forgets that.

    carillon login alice@example.org
    carillon login alice@example.lan --server 192.168.1.5:5222 --ca-file ca.pem
    pass show xmpp | carillon login alice@example.org --password-file /dev/stdin`
}

type logoutCmd struct {
	JID string `arg:"" name:"jid" optional:"" completes:"accounts" help:"Account to forget; needed only when there are several."`
}

type accountsCmd struct{}

type contactsCmd struct {
	List   contactsListCmd   `cmd:"" default:"1" help:"List contacts, and who of them is online."`
	Add    contactsAddCmd    `cmd:"" help:"Add a contact, and ask to see when they are online."`
	Remove contactsRemoveCmd `cmd:"" help:"Remove a contact."`
}

type contactsListCmd struct{}

type contactsAddCmd struct {
	JID  string `arg:"" name:"jid" help:"Address of the person."`
	Name string `placeholder:"NAME" help:"Name to show instead of the address."`
}

func (contactsAddCmd) Help() string {
	return `Two people see each other online, and whether they can be called, when each has added the other. A request that the other side made before is accepted by this.

    carillon contacts add bob@example.org --name Bob`
}

type contactsRemoveCmd struct {
	JID string `arg:"" name:"jid" help:"Address of the person."`
}

// soundFlags are those of commands that talk.
type soundFlags struct {
	Mic          string        `placeholder:"SOURCE" help:"What is said: device[:NAME], file:PATH (WAV or Ogg Opus), tone:HZ, speech[:N] or silence. Default: device."`
	Speaker      string        `placeholder:"SINK" help:"Where it is heard: device[:NAME], file:PATH (.wav, .opus or .ogg) or null. Default: device."`
	Video        bool          `help:"Show and see pictures, in builds with the system's libraries."`
	Camera       string        `placeholder:"SOURCE" help:"What is shown: camera[:NAME], screen[:N], window:TITLE, file:PATH (Y4M or IVF), pattern[:WxH@FPS] or none. Implies --video. Default: camera."`
	Screen       string        `placeholder:"SINK" help:"Where the other side is shown: window (X11), file:PATH (.y4m or .ivf) or null. Implies --video. Default: null."`
	VideoCodec   string        `enum:"auto,vp8,vp9,av1,h264" default:"auto" placeholder:"CODEC" help:"Codec of pictures, where the other side has it: vp8, vp9, av1 or h264. av1 needs the least of the path and the most of the processor. Implies --video. Default: auto, which is vp8 unless the other side asks for av1."`
	NoProcessing bool          `help:"Leave the sound of the microphone as it is. Otherwise echo, noise and level are seen to, in builds that can."`
	Duration     time.Duration `placeholder:"D" help:"Hang up when the call has lasted so long, such as 90s or 5m."`
	RelayOnly    bool          `help:"Let calls go through a relay only, so that the other side does not see your address."`
	Stats        bool          `help:"Show figures of the call every second."`
}

type callCmd struct {
	JID     string        `arg:"" name:"jid" help:"Whom to call. With a resource, as in bob@example.org/phone, that device."`
	Timeout time.Duration `placeholder:"D" help:"Give up when nobody has answered for so long. Default: 60s."`
	soundFlags
}

func (callCmd) Help() string {
	return `All devices of the person ring, and the one that takes the call gets it. In a terminal, keys work during the call: m switches the microphone off and on, v the picture, h holds the call, 0-9 * # are sent as telephone tones, q hangs up.

    carillon call bob@example.org
    carillon call bob@example.org --mic file:message.opus --speaker null --duration 30s
    carillon call bob@example.org --camera screen
    carillon call bob@example.org --json --stats | jq .

It exits with 3 when they decline, and with 4 when they do not answer.`
}

type answerCmd struct {
	Once bool     `help:"End after one call was answered or declined."`
	From []string `placeholder:"JID" help:"Take calls of this person only; may be given several times. Other calls are left to your other devices."`
	Auto bool     `help:"Answer without asking."`
	soundFlags
}

func (answerCmd) Help() string {
	return `In a terminal, a or Enter answers and d declines. Without terminal, write one of these letters and a line end, or use --auto.

    carillon answer
    carillon answer --auto --from bob@example.org
    carillon answer --auto --once --mic tone:440 --speaker file:heard.wav

When several call at once, all are shown; contacts come first, and the keys are for the one that is shown last as ringing. With --speaker file:heard.wav each call is kept in a file of its own: nothing is overwritten, and where heard.wav exists it is heard-2.wav, and so on. Calls of people who are not contacts go through a relay where there is one, so that they do not see your address.`
}

// pathFlags are those of commands that transfer files.
type pathFlags struct {
	Transport []string `placeholder:"NAME" sep:"none" help:"Use these ways only, in this order: tcp, quic, datachannel, s5b or ibb. Default: the fastest that works."`
	RelayOnly bool     `help:"Do not let the other side see the address of this machine."`
	Loopback  bool     `hidden:"" help:"Use loopback addresses too, for tests."`
}

type sendCmd struct {
	What  []string `arg:"" name:"path" completes:"people" help:"Files and folders, and then who gets them: one address or several."`
	Wait  bool     `help:"Wait until they are online, and go on whenever they come back."`
	Limit string   `placeholder:"RATE" help:"Send no faster, such as 5MB/s."`
	Plain bool     `help:"Send as other clients do, one file at a time and without resuming (XEP-0234)."`
	pathFlags
}

func (sendCmd) Help() string {
	return `Files of any size go directly from device to device where that is possible, and every block is verified. Folders keep their times, executable files and empty folders; symbolic links are left out. To people with other clients, files go one by one.

    carillon send report.pdf bob@example.org
    carillon send photos/ video.mkv bob@example.org carol@example.org
    carillon send backup.tar bob@example.org --wait --limit 5MB/s

Ctrl-C pauses: the same command, or "carillon transfers resume", goes on from there. It exits with 3 when they decline, and with 4 when nobody is there.`
}

type receiveCmd struct {
	Dir             string   `placeholder:"FOLDER" default:"." help:"Where files go. Default: the current folder."`
	From            []string `placeholder:"JID" help:"Take files of this person only; may be given several times."`
	Accept          string   `enum:"ask,contacts,all" default:"ask" placeholder:"WHO" help:"Whose files are taken without asking: ask (nobody's), contacts or all. Default: ask."`
	Once            bool     `help:"End after one transfer was received or declined."`
	Quota           string   `placeholder:"SIZE" help:"Receive no more than this altogether, such as 50GB."`
	QuotaPerContact string   `placeholder:"SIZE" help:"Receive no more than this from one person."`
	pathFlags
}

func (receiveCmd) Help() string {
	return `In a terminal, a or Enter accepts and d declines. What is under way is called NAME.part; it gets its name when all of it is there and verified. Nothing is overwritten: a second report.pdf becomes "report (1).pdf". After an interruption it goes on from there as soon as the sender offers it again, without asking unless it has grown.

    carillon receive
    carillon receive --dir inbox --accept contacts --quota 50GB
    carillon receive --from bob@example.org --accept contacts --once

People who are no contacts are told nothing, and their offers are only shown, unless --accept all is given.`
}

type transfersCmd struct {
	List   transfersListCmd   `cmd:"" default:"1" help:"List transfers that are not finished."`
	Resume transfersResumeCmd `cmd:"" help:"Go on sending."`
	Forget transfersForgetCmd `cmd:"" help:"Give transfers up, and delete what was received of them."`
}

type transfersListCmd struct{}

type transfersResumeCmd struct {
	ID       []string `arg:"" name:"id" optional:"" help:"Which, as listed; all but those of the app when none is named."`
	Wait     bool     `help:"Wait until they are online, and go on whenever they come back."`
	Loopback bool     `hidden:"" help:"Use loopback addresses too, for tests."`
}

type transfersForgetCmd struct {
	ID  []string `arg:"" name:"id" optional:"" help:"Which, as listed."`
	All bool     `help:"All of them."`
}

type devicesCmd struct{}

type historyCmd struct {
	Limit   int  `short:"n" default:"20" placeholder:"N" help:"How many calls to list; 0 means all. Default: 20."`
	Offline bool `help:"Do not ask the server for calls that were missed."`
}

func (historyCmd) Help() string {
	return `Calls that you missed, and those that your other devices took, are looked up in the archive of the server first.

    carillon history
    carillon history -n 0 --offline --json`
}

type doctorCmd struct {
	JID string `arg:"" name:"jid" optional:"" help:"Somebody you want to call; what their devices can do is checked too."`
}

func (doctorCmd) Help() string {
	return `Checks, one after the other, what a call needs: that the server is found in DNS and can be reached with TLS, that login works, what the server offers, what the devices of the contact can do, which relays work over UDP, TCP and TLS, and what kind of NAT this machine is behind. Each result says what it means for calls.

    carillon doctor
    carillon doctor bob@example.org
    carillon doctor --json | jq 'select(.status != "ok")'`
}

type demoCmd struct{}

func (demoCmd) Help() string {
	return `Starts a small XMPP server inside this program, logs alice and bob in to it, lets alice call bob, and checks that each hears what the other says. Everything is real, network included, but nothing leaves this machine, and no sound card is needed.

    carillon demo`
}

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (completionCmd) Help() string {
	return `    carillon completion bash > ~/.local/share/bash-completion/completions/carillon
    carillon completion zsh > ~/.zfunc/_carillon
    carillon completion fish > ~/.config/fish/completions/carillon.fish`
}

type completeCmd struct {
	List string `arg:"" enum:"people,accounts" help:"people or accounts."`
}

type manCmd struct {
	Dir string `arg:"" help:"Folder to write to."`
}

type versionCmd struct{}

// runner is what every command implements.
type runner interface {
	Run(ctx context.Context, a *app) error
}

var _ = []runner{
	loginCmd{}, logoutCmd{}, accountsCmd{}, contactsListCmd{}, contactsAddCmd{}, contactsRemoveCmd{},
	callCmd{}, answerCmd{}, sendCmd{}, receiveCmd{}, transfersListCmd{}, transfersResumeCmd{}, transfersForgetCmd{}, devicesCmd{}, historyCmd{}, doctorCmd{}, demoCmd{}, completionCmd{}, completeCmd{}, manCmd{}, versionCmd{},
}
