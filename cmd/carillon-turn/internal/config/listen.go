package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/carillon-im/carillon/turn"
)

// FromSystemd stands in "listen" for the sockets that systemd hands over.
const FromSystemd = "systemd"

// AdminSocket is the name of a socket that serves status and metrics
// (FileDescriptorName= of the socket unit).
const AdminSocket = "admin"

func (f File) listeners(out Outside) ([]turn.Listener, error) {
	var all []turn.Listener
	for _, text := range f.Listen {
		if text == FromSystemd {
			inherited, err := f.inherited(out)
			if err != nil {
				return nil, err
			}
			all = append(all, inherited...)
			continue
		}
		l, err := f.listener(text, out)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

var transports = []turn.Transport{turn.UDP, turn.TCP, turn.TLS, turn.DTLS}

func (f File) listener(text string, out Outside) (turn.Listener, error) {
	l := turn.Listener{Transport: turn.UDP}
	address := text
	for _, t := range transports {
		if rest, ok := strings.CutPrefix(text, string(t)+":"); ok {
			l.Transport, address = t, rest
		}
	}
	if strings.HasPrefix(address, ":") {
		address = "0.0.0.0" + address
	}
	var err error
	if l.Address, err = netip.ParseAddrPort(address); err != nil {
		return l, fmt.Errorf("%q: want [udp:|tcp:|tls:|dtls:]ADDRESS:PORT: %w", text, err)
	}
	if l.TLS, err = f.certificate(l.Transport, out); err != nil {
		return l, fmt.Errorf("%q: %w", text, err)
	}
	return l, nil
}

// inherited makes listeners of sockets. Their names say the transport, where
// it is not UDP or TCP.
func (f File) inherited(out Outside) ([]turn.Listener, error) {
	if out.Check {
		return []turn.Listener{{Transport: turn.UDP, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)}}, nil
	}
	var all []turn.Listener
	for _, file := range out.Sockets {
		if file.Name() == AdminSocket {
			continue
		}
		l, err := inherit(file)
		if err == nil {
			l.TLS, err = f.certificate(l.Transport, out)
		}
		if err != nil {
			return nil, fmt.Errorf("socket %q: %w", file.Name(), err)
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil, errors.New("systemd has handed over no socket: is carillon-turn.socket active?")
	}
	return all, nil
}

func inherit(file *os.File) (turn.Listener, error) {
	l := turn.Listener{Socket: file}
	var at net.Addr
	if conn, err := net.FilePacketConn(file); err == nil {
		at = conn.LocalAddr()
		conn.Close()
	} else if listener, err := net.FileListener(file); err == nil {
		at = listener.Addr()
		listener.Close()
	} else {
		return l, err
	}
	secure := false
	for _, t := range []turn.Transport{turn.TLS, turn.DTLS} {
		secure = secure || strings.HasPrefix(file.Name(), string(t))
	}
	switch at := at.(type) {
	case *net.UDPAddr:
		l.Transport, l.Address = turn.UDP, at.AddrPort()
		if secure {
			l.Transport = turn.DTLS
		}
	case *net.TCPAddr:
		l.Transport, l.Address = turn.TCP, at.AddrPort()
		if secure {
			l.Transport = turn.TLS
		}
	default:
		return l, fmt.Errorf("%v is neither UDP nor TCP", at.Network())
	}
	return l, nil
}

// certificate is nil for transports that need none.
func (f File) certificate(t turn.Transport, out Outside) (*tls.Config, error) {
	switch {
	case t != turn.TLS && t != turn.DTLS:
		return nil, nil
	case len(f.ACME.Names) > 0 && f.TLS != (TLS{}):
		return nil, errors.New("certificates come from [tls] or from [acme], not from both")
	case len(f.ACME.Names) > 0 && out.ACME != nil:
		return out.ACME(f.ACME)
	case len(f.ACME.Names) > 0:
		return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, errors.New("not running")
		}}, nil
	case f.TLS.Cert == "" || f.TLS.Key == "":
		return nil, errors.New("a certificate and its key are needed: [tls] names their files, [acme] obtains them")
	}
	return turn.CertificateFiles(f.TLS.Cert, f.TLS.Key, out.Uncertified)
}
