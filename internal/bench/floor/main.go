// Floor is the least that moving a file or folder costs in Go: read, encrypt
// with TLS 1.3, write; with "sha256" also a hash at both ends. What carillon
// does besides is measured against it.
//
//	floor recv plain|sha256 ADDRESS FOLDER
//	floor send plain|sha256 ADDRESS PATH
package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	gathered   = 256 << 10 // bytes in one system call, as in ft/tcp
	maxName    = 4096
	dialEvery  = 5 * time.Millisecond
	dialFor    = 5 * time.Second
	headerSize = 2 + 8 // length of the name, size of the file
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: floor recv|send plain|sha256 ADDRESS PATH")
	}
	hash, addr, path := os.Args[2] == "sha256", os.Args[3], os.Args[4]
	var err error
	switch os.Args[1] {
	case "recv":
		err = receive(addr, path, hash)
	case "send":
		err = send(addr, path, hash)
	default:
		err = errors.New("neither recv nor send")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// A gather collects TLS records of 16 KiB into larger system calls.
type gather struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

func (g *gather) Read(p []byte) (int, error) { return g.r.Read(p) }

func (g *gather) Write(p []byte) (int, error) {
	if g.w == nil {
		return g.Conn.Write(p)
	}
	return g.w.Write(p)
}

func newGather(c net.Conn) *gather { return &gather{Conn: c, r: bufio.NewReaderSize(c, gathered)} }

func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// copyFile copies n bytes through buf. It returns their SHA-256, or nothing.
func copyFile(w io.Writer, r io.Reader, n int64, hash bool, buf []byte) ([]byte, error) {
	sum := sha256.New()
	if hash {
		w = io.MultiWriter(sum, w)
	}
	// The structs hide methods by which io would copy in its own way.
	k, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.LimitReader(r, n)}, buf)
	if err == nil && k < n {
		err = io.ErrUnexpectedEOF
	}
	if !hash {
		return nil, err
	}
	return sum.Sum(nil), err
}

func send(addr, path string, hash bool) error {
	var (
		raw net.Conn
		err error
	)
	for end := time.Now().Add(dialFor); ; time.Sleep(dialEvery) {
		if raw, err = net.Dial("tcp", addr); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return err
	}
	g := newGather(raw)
	c := tls.Client(g, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}) // a yardstick on loopback
	if err := c.Handshake(); err != nil {
		return err
	}
	g.w = bufio.NewWriterSize(raw, gathered)
	top, buf := filepath.Dir(path), make([]byte, gathered)
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		head := binary.BigEndian.AppendUint16(nil, uint16(len(name)))
		head = append(binary.BigEndian.AppendUint64(head, uint64(info.Size())), name...)
		if _, err := c.Write(head); err != nil {
			return err
		}
		sum, err := copyFile(c, f, info.Size(), hash, buf)
		if err == nil {
			_, err = c.Write(sum)
		}
		return err
	})
	if err == nil {
		_, err = c.Write(make([]byte, headerSize)) // no name: the end
	}
	if err == nil {
		err = g.w.Flush()
	}
	if err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1)) // it has everything
	return err
}

func receive(addr, dir string, hash bool) error {
	cert, err := certificate()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	raw, err := l.Accept()
	if err != nil {
		return err
	}
	c := tls.Server(newGather(raw), &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}})
	buf := make([]byte, gathered)
	for {
		head := make([]byte, headerSize)
		if _, err := io.ReadFull(c, head); err != nil {
			return err
		}
		n := binary.BigEndian.Uint16(head)
		if n == 0 {
			_, err := c.Write([]byte{1})
			return errors.Join(err, c.Close())
		}
		name := make([]byte, min(n, maxName))
		if _, err := io.ReadFull(c, name); err != nil {
			return err
		}
		if err := store(c, filepath.Join(dir, string(name)), int64(binary.BigEndian.Uint64(head[2:])), hash, buf); err != nil {
			return err
		}
	}
}

func store(c net.Conn, path string, size int64, hash bool, buf []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := copyFile(f, c, size, hash, buf)
	if err != nil || !hash {
		return err
	}
	want := make([]byte, len(sum))
	if _, err := io.ReadFull(c, want); err != nil {
		return err
	}
	if !bytes.Equal(want, sum) {
		return fmt.Errorf("%s: hash differs", path)
	}
	return nil
}
