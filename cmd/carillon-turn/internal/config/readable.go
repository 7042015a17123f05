package config

import (
	"net/url"
	"os"
	"runtime"
)

// hasSecrets says whether f itself has some, besides those in files that it names.
func (f File) hasSecrets() bool {
	has := func(secrets []string, users []User) bool {
		for _, u := range users {
			if u.Password != "" {
				return true
			}
		}
		return len(secrets) > 0
	}
	for _, r := range f.Realms {
		if has(r.Secrets, r.Users) {
			return true
		}
	}
	if u, err := url.Parse(f.Redis.URL); err != nil || u.User != nil {
		return true
	}
	return has(f.Secrets, f.Users)
}

// Readable are the files with secrets that everybody on this machine can read.
// Who is in the group of a file was put there.
func (f File) Readable() (paths []string) {
	if runtime.GOOS == "windows" {
		return nil // where modes say nothing
	}
	look := func(all ...string) {
		for _, path := range all {
			if path == "" {
				continue
			}
			if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
				paths = append(paths, path)
			}
		}
	}
	credentials := func(files []string, users []User) {
		look(files...)
		for _, u := range users {
			look(u.PasswordFile)
		}
	}
	look(f.own)
	credentials(f.SecretFiles, f.Users)
	look(f.UserFiles...)
	for _, r := range f.Realms {
		credentials(r.SecretFiles, r.Users)
	}
	look(f.NonceSecretFile, f.Redis.URLFile, f.TLS.Key)
	return paths
}
